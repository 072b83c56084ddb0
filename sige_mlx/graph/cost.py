"""This module tells what a program costs before it is run: multiply-accumulates, bytes moved, bytes kept.

The bytes moved are those of an ideal machine. For each op it reads every operand from memory once and writes every
result once, and it keeps nothing in a cache from one op to the next:

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

from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.tiling import Size, Tiling

FLOAT = 4
"""A float32 takes so many bytes."""


@dataclass(frozen=True)
class OpCost:
    """The cost of one op. `plane` is the size that it writes, or None for a norm; `channels` are the numbers of
    channels that it reads and writes; `tiles` is None when it computes every pixel."""

    layer: str
    kind: str
    plane: Size | None
    channels: tuple[int, int]
    tiles: int | None
    macs: int
    nbytes: int


@dataclass(frozen=True)
class Cost:
    """The cost of a program: that of its ops, the bytes of its weights, and the bytes that recording one step keeps."""

    ops: tuple[OpCost, ...]
    weight_nbytes: int
    recorded_nbytes: int
    tiles: Mapping[Size, int]
    """This counts the active tiles by plane; it is empty for a dense pass."""

    @property
    def macs(self) -> int:
        """One run takes so many multiply-accumulates."""
        return sum(op.macs for op in self.ops)

    @property
    def nbytes(self) -> int:
        """One run moves so many bytes."""
        return sum(op.nbytes for op in self.ops)


def dense_cost(lowered: Lowered) -> Cost:
    """Returns the cost of the dense pass."""
    return _cost(lowered, None)


def edit_cost(lowered: Lowered, tiling: Tiling) -> Cost:
    """Returns the cost of one step of an edit. An empty edit runs nothing and costs nothing."""
    return _cost(lowered, tiling)


def _cost(lowered: Lowered, tiling: Tiling | None) -> Cost:
    try:
        recorded = sum(b.nbytes for b in lowered.recorded.values())
        program = lowered.dense if tiling is None else Program() if tiling.empty else lowered.edit_of(tiling)
    except SigeError:
        return _unfused(lowered, tiling)
    counts, ops, weights = {} if tiling is None else tiling.counts, [], 0
    for op, layer in zip(program.ops, program.names, strict=True):
        work, kind = op.work(counts), type(op).__name__.lower()
        ops.append(OpCost(layer, kind, work.plane, work.channels, work.tiles, work.macs, FLOAT * work.floats))
        weights += work.weights
    vectors = sum(b.nbytes for b in program.buffers if b.kind in (Kind.BIAS, Kind.PARAM, Kind.FOLDED))
    return Cost(tuple(ops), FLOAT * weights + vectors, recorded, {size: counts[size] for size in program.planes})


def _unfused(lowered: Lowered, tiling: Tiling | None) -> Cost:
    """Returns the cost of a network that only the reference executor runs. Node by node it writes and reads whole
    values, and keeps all of them. The multiply-accumulates of an edit are those of its tiles, as for other networks."""
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
