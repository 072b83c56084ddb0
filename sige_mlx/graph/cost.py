"""What a program costs before it is run: multiply-accumulates, bytes moved, bytes kept.

Bytes moved are those of an ideal machine that reads each operand of an op from memory once per op and writes each
result once, and keeps nothing in a cache from one op to the next:

    weights, biases, scales, vectors   once per op
    a dense source or residual         its whole plane
    a tiled source                     for each output tile, the window it sees, halo included, borders not cut off
    a residual in tiles                the tile
    outputs and sums                   every pixel of every form that is written; partial tiles count as whole ones

Real traffic is lower where a cache holds an operand and higher where a kernel reads it again; ratios of two costs are
what the model is for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sige_mlx.graph import program as p
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import NONE, Kind, Program, ProgramOp
from sige_mlx.graph.tiling import Size

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class OpCost:
    """One op. `plane` is the size it writes, None for the statistics of a norm and what is made of them; `channels` are
    those it reads and writes; `tiles` is None when every pixel is computed."""

    layer: str
    kind: str
    plane: Size | None
    channels: tuple[int, int]
    tiles: int | None
    macs: int
    nbytes: int


@dataclass(frozen=True)
class Cost:
    """A program: its ops, and in bytes what its weights take and what recording one step keeps for edits."""

    ops: tuple[OpCost, ...]
    weight_nbytes: int
    recorded_nbytes: int
    tiles: Mapping[Size, int]
    """Active tiles by plane; empty for a dense pass."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(op.macs for op in self.ops)

    @property
    def nbytes(self) -> int:
        """Bytes moved by one run."""
        return sum(op.nbytes for op in self.ops)


def dense_cost(plan: Plan) -> Cost:
    """The dense pass."""
    return _cost(plan.dense, plan.recorded_nbytes)


def edit_cost(plan: Plan, edit: Edit) -> Cost:
    """One step of an edit. An empty edit runs nothing and costs nothing."""
    return _cost(Program() if edit.tiling.empty else edit.program, plan.recorded_nbytes)


def _cost(program: Program, recorded_nbytes: int) -> Cost:
    ops = tuple(_op_cost(program, op, layer) for op, layer in zip(program.ops, program.names, strict=True))
    weights = {op.weight: _weights(op) for op in program.ops if isinstance(op, p.Conv | p.Depthwise)}
    vectors = sum(math.prod(s.shape) for s in program.slots if s.kind in (Kind.BIAS, Kind.PARAM, Kind.FOLDED))
    return Cost(ops, FLOAT * (sum(weights.values()) + vectors), recorded_nbytes, program.tiles())


def _op_cost(program: Program, op: ProgramOp, layer: str) -> OpCost:
    plane, channels, tiles = _extent(program, op)
    macs = op.macs if isinstance(op, p.Multiplying) else 0
    return OpCost(layer, type(op).__name__.lower(), plane, channels, tiles, macs, FLOAT * _floats(op))


def _extent(program: Program, op: ProgramOp) -> tuple[Size | None, tuple[int, int], int | None]:
    """The plane an op writes, its channels in and out, and its tiles."""
    if isinstance(op, p.Multiplying):
        return (op.out.h, op.out.w), _channels(op), None if op.out.list == NONE else op.out.tiles
    if isinstance(op, p.Paste):
        return (op.x.h, op.x.w), (op.x.c, op.x.c), None if op.x.grid == NONE else program.slots[op.x.blocks].shape[0]
    if isinstance(op, p.Norm):
        return None, (sum(op.c), sum(op.c)), None
    return (1, 1), (1, op.dim), None


def _channels(op: p.Multiplying) -> tuple[int, int]:
    if isinstance(op, p.Conv):
        return sum(s.x.c for s in op.source), op.c_out
    c = op.c if isinstance(op, p.Depthwise) else op.heads * op.head_dim
    return c, c


def _floats(op: ProgramOp) -> int:
    """Floats read and written."""
    if isinstance(op, p.Conv):
        read = sum(_source_floats(s, op.out) for s in op.source) + (op.vec != NONE) * op.c_out * op.out.n
        return read + _weights(op) + _epilogue_floats(op, op.c_out)
    if isinstance(op, p.Depthwise):
        return _source_floats(op.source, op.out) + _weights(op) + _epilogue_floats(op, op.c)
    if isinstance(op, p.Norm):
        sums = sum(op.n * tiles * 2 * c for tiles, c in zip(op.tiles, op.c, strict=True))
        vectors = (op.weight != NONE) + (op.bias != NONE) + op.n * (2 + 2 * (op.mod != NONE))
        return sums + vectors * sum(op.c)
    if isinstance(op, p.Attention):
        return 2 * (op.out.pixels + op.out.n * op.keys) * op.heads * op.head_dim
    if isinstance(op, p.Paste):
        return 2 * op.x.n * op.x.h * op.x.w * op.x.c
    return op.n * (1 + op.dim)


def _epilogue_floats(op: p.Conv | p.Depthwise, c: int) -> int:
    """Bias, residual, sums and outputs; a modulation is read for every pixel."""
    out = op.out
    read = (op.bias != NONE) * c + (op.residual is not None) * (out.pixels >> 2 * op.residual_resample) * c
    written = out.pixels * c * len(op.output) + (op.sums != NONE) * 2 * c * _tiles(out)
    affine = sum(2 * c * (out.n if o.stride else 1) for o in op.output if o.scale != NONE)
    modulation = sum(2 * c * out.pixels for o in op.output if o.mod)
    return read + written + affine + modulation


def _source_floats(source: p.Source, out: p.Domain) -> int:
    x = source.x
    affine = 2 * x.c * (x.n if source.stride_affine else 1) if source.scale != NONE else 0
    if out.list == NONE:
        stored = x.h * x.w >> 2 * max(0, -source.resample)
        shown = x.h * x.w << 2 if source.resample > 0 else stored
        return x.n * (stored + 2 * shown * (source.mod is not None)) * x.c + affine
    shown = _window(source, out.tile, source.kh) * _window(source, out.tile, source.kw)
    stored = _stored(source, out.tile, source.kh) * _stored(source, out.tile, source.kw)
    return out.tiles * (stored + 2 * shown * (source.mod is not None)) * x.c + affine


def _window(source: p.Source, tile: int, kernel: int) -> int:
    """Pixels that a tile sees along one axis."""
    return (tile - 1) * source.stride + kernel


def _stored(source: p.Source, tile: int, kernel: int) -> int:
    """How many of x they are."""
    seen = _window(source, tile, kernel)
    if source.resample <= 0:
        return seen
    return seen // 2 + 1 if kernel > 1 else -(-seen // 2)


def _tiles(domain: p.Domain) -> int:
    """Tiles that a domain computes."""
    if domain.list != NONE:
        return domain.tiles
    return domain.n * -(-domain.h // domain.tile) * -(-domain.w // domain.tile)


def _weights(op: p.ProgramOp) -> int:
    if isinstance(op, p.Conv):
        return op.c_out * sum(s.kh * s.kw * s.x.c for s in op.source)
    if isinstance(op, p.Depthwise) and op.weight != NONE:
        return op.c * op.source.kh * op.source.kw
    return 0
