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
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import NONE, Counts, Kind, Program, ProgramOp
from sige_mlx.graph.tiling import Size, Tiling

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


def dense_cost(lowered: Lowered) -> Cost:
    """The dense pass."""
    if lowered.refused:
        return _unfused(lowered, None)
    return _cost(lowered.dense, {}, _recorded(lowered))


def edit_cost(lowered: Lowered, tiling: Tiling) -> Cost:
    """One step of an edit. An empty edit runs nothing and costs nothing."""
    if lowered.refused:
        return _unfused(lowered, tiling)
    return _cost(Program() if tiling.empty else lowered.edit, tiling.counts, _recorded(lowered))


def _recorded(lowered: Lowered) -> int:
    return sum(buffer.nbytes for buffer in lowered.recorded.values())


def _cost(program: Program, counts: Counts, recorded_nbytes: int) -> Cost:
    ops = tuple(_op_cost(op, layer, counts) for op, layer in zip(program.ops, program.names, strict=True))
    weights = {op.weight: _weights(op) for op in program.ops if isinstance(op, p.Conv | p.Depthwise)}
    vectors = sum(b.nbytes for b in program.buffers if b.kind in (Kind.BIAS, Kind.PARAM, Kind.FOLDED))
    tiles = {size: counts[size] for size in program.planes}
    return Cost(ops, FLOAT * sum(weights.values()) + vectors, recorded_nbytes, tiles)


def _unfused(lowered: Lowered, tiling: Tiling | None) -> Cost:
    """A network that only the reference executor runs, node by node: every value is written and read whole, and all are
    kept. Multiply-accumulates of an edit are those of its tiles, as for other networks."""
    graph, ops = lowered.graph, []
    for node in graph.nodes if tiling is None or not tiling.empty else ():
        macs = graph.macs(node) if tiling is None else lowered.node_macs(node)(tiling.counts)
        read = sum(math.prod(graph.nodes[i].shape) for i in node.inputs)
        floats = read + sum(map(math.prod, node.param_shapes.values())) + math.prod(node.shape)
        plane = (node.shape[1], node.shape[2]) if len(node.shape) == 4 else None
        channels = (graph.nodes[node.inputs[0]].shape[-1] if node.inputs else 0, node.shape[-1])
        ops.append(OpCost(node.name, type(node.op).__name__.lower(), plane, channels, None, macs, FLOAT * floats))
    weights = {path: math.prod(n.param_shapes[name]) for n in graph.nodes for name, path in n.params.items()}
    kept = sum(math.prod(node.shape) for node in graph.nodes)
    return Cost(tuple(ops), FLOAT * sum(weights.values()), FLOAT * kept, {})


def _op_cost(op: ProgramOp, layer: str, counts: Counts) -> OpCost:
    plane, channels, tiles = _extent(op, counts)
    macs = op.macs(counts) if isinstance(op, p.Multiplying) else 0
    return OpCost(layer, type(op).__name__.lower(), plane, channels, tiles, macs, FLOAT * _floats(op, counts))


def _extent(op: ProgramOp, counts: Counts) -> tuple[Size | None, tuple[int, int], int | None]:
    """The plane an op writes, its channels in and out, and its tiles."""
    if isinstance(op, p.Multiplying):
        return (op.out.h, op.out.w), _channels(op), None if op.out.list == NONE else op.out.tiles(counts)
    if isinstance(op, p.Paste):
        # Sums of tiles are pasted as an image of one pixel a tile, which is no plane of its own.
        return (op.x.h, op.x.w), (op.x.c, op.x.c), counts.get((op.x.h, op.x.w)) if op.x.tile > 1 else None
    return None, (sum(op.c), sum(op.c)), None


def _channels(op: p.Multiplying) -> tuple[int, int]:
    if isinstance(op, p.Conv):
        return sum(s.x.c for s in op.source), op.c_out
    c = op.c if isinstance(op, p.Depthwise) else op.heads * op.head_dim
    return c, c


def _floats(op: ProgramOp, counts: Counts) -> int:
    """Floats read and written."""
    if isinstance(op, p.Conv):
        read = sum(_source_floats(s, op.out, counts) for s in op.source) + (op.vec != NONE) * op.c_out * op.out.n
        return read + _weights(op) + _epilogue_floats(op, op.c_out, counts)
    if isinstance(op, p.Depthwise):
        return _source_floats(op.source, op.out, counts) + _weights(op) + _epilogue_floats(op, op.c, counts)
    if isinstance(op, p.Norm):
        sums = sum(op.n * tiles * 2 * c for tiles, c in zip(op.tiles, op.c, strict=True))
        vectors = (op.weight != NONE) + (op.bias != NONE) + op.n * (2 + 2 * (op.mod != NONE))
        return sums + vectors * sum(op.c)
    if isinstance(op, p.Attention):
        return 2 * (op.out.pixels(counts) + op.out.n * op.keys) * op.heads * op.head_dim
    return 2 * op.x.n * op.x.h * op.x.w * op.x.c


def _epilogue_floats(op: p.Conv | p.Depthwise, c: int, counts: Counts) -> int:
    """Bias, residual, sums and outputs; a modulation is read for every pixel."""
    out, pixels = op.out, op.out.pixels(counts)
    read = (op.bias != NONE) * c + (op.residual is not None) * (pixels >> 2 * op.residual_resample) * c
    written = pixels * c * len(op.output) + (op.sums != NONE) * 2 * c * out.tiles(counts)
    affine = sum(2 * c * (out.n if o.stride else 1) for o in op.output if o.scale != NONE)
    modulation = sum(2 * c * pixels for o in op.output if o.mod)
    return read + written + affine + modulation


def _source_floats(source: p.Source, out: p.Domain, counts: Counts) -> int:
    x = source.x
    affine = 2 * x.c * (x.n if source.stride_affine else 1) if source.scale != NONE else 0
    if out.list == NONE:
        stored = x.h * x.w >> 2 * max(0, -source.resample)
        shown = x.h * x.w << 2 if source.resample > 0 else stored
        return x.n * (stored + 2 * shown * (source.mod is not None)) * x.c + affine
    shown = _window(source, out.tile, source.kh) * _window(source, out.tile, source.kw)
    stored = _stored(source, out.tile, source.kh) * _stored(source, out.tile, source.kw)
    return out.tiles(counts) * (stored + 2 * shown * (source.mod is not None)) * x.c + affine


def _window(source: p.Source, tile: int, kernel: int) -> int:
    """Pixels that a tile sees along one axis."""
    return (tile - 1) * source.stride + kernel


def _stored(source: p.Source, tile: int, kernel: int) -> int:
    """How many of x they are."""
    seen = _window(source, tile, kernel)
    if source.resample <= 0:
        return seen
    return seen // 2 + 1 if kernel > 1 else -(-seen // 2)


def _weights(op: p.ProgramOp) -> int:
    if isinstance(op, p.Conv):
        return op.c_out * sum(s.kh * s.kw * s.x.c for s in op.source)
    if isinstance(op, p.Depthwise) and op.weight != NONE:
        return op.c * op.source.kh * op.source.kw
    return 0
