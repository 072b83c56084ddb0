"""Networks from planes to planes as programs for whole planes and for windows of them, on the CPU or a Mac's GPU.

A window is computed by itself, with the statistics, keys and values of the planes around it. Of these planes no
activation is kept: only moments of norms and the sums that they are made of, cell by cell, and keys and values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn
import numpy as np

from sige_mlx.engine.cells import Cells, Window, replaced
from sige_mlx.engine.executor import ProgramExecutor, executor_of_programs
from sige_mlx.engine.statistics import Doubles, Floats
from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion import FusedNorm
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.graph.program import Program
from sige_mlx.graph.stages import Stage, keys_and_values, stages
from sige_mlx.graph.trace import input_shapes, trace

TILE = 4
"""Pixels along a side of the tiles that norms sum up."""

Shape = tuple[int, ...]
Key = tuple[int, int]
"""A stage, and a norm of its graph."""


class Planes(NamedTuple):
    """What is kept of whole planes. Nothing writes to its arrays."""

    moments: Mapping[Key, Doubles]
    """(B, 2, G) of every norm."""
    cells: Mapping[Key, Floats]
    """Sums of what a norm is of, and sums of its squares, by cell and group: (B, rows, columns, 2, G)."""
    keys_and_values: Mapping[int, mx.array]
    """(B, h, w, C) each, by the network's values."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for arrays in self for array in arrays.values())


class _Part(NamedTuple):
    """A stage as a program, of whole planes or of a window of them; `planes` is the stage's graph for the planes, and
    `rows` are those of the network's input."""

    rows: int
    stage: Stage
    planes: Graph
    lowered: Lowered
    program: Program
    norms: tuple[FusedNorm, ...]


class StagedNetwork:
    """`network` is an MLX module of one input, planes (B, H, W, C), whose output is planes, too. `device` is "cpu" or
    "gpu", by default the GPU where there is one. Both compute in float32: activations of some autoencoders, SDXL's
    among them, are more than halves can hold. Raises `SigeError` for what cannot be computed in windows.

        staged = StagedNetwork(autoencoder.decoder)
        picture, planes = staged.whole(latents)
    """

    def __init__(self, network: mlx.nn.Module, device: str | None = None):
        self.network = network
        self.device = device or ("gpu" if mx.metal.is_available() else "cpu")
        self._graphs: dict[Shape, Graph] = {}
        self._parts: dict[tuple[Shape, Shape | None], list[_Part]] = {}
        self._executors: dict[int, ProgramExecutor] = {}

    @cached_property
    def _inputs(self) -> Mapping[str, Shape]:
        shapes = input_shapes(self.network)
        if len(shapes) != 1:
            raise SigeError(f"a network of windows has one input: {type(self.network).__name__} has {len(shapes)}")
        return shapes

    @cached_property
    def cell(self) -> int:
        """Input pixels along a side of a cell. Windows begin, and their interiors begin and end, at multiples of it."""
        (shape,) = self._inputs.values()
        across = [-(-shape[1] // node.shape[1]) for node in self._graph(shape).nodes]
        parts = self._of(shape, None)
        return max(across + [TILE * -(-shape[1] // _plane(p.stage.graph, norm)[1]) for p in parts for norm in p.norms])

    def macs(self, shape: Shape, of: Shape | None = None) -> int:
        """Multiply-accumulates of planes of a shape, or of a window of a shape of planes `of` another."""
        graphs = (part.stage.graph for part in self._of(shape, of))
        return sum(graph.macs(node) for graph in graphs for node in graph.nodes)

    def whole(self, x: mx.array) -> tuple[mx.array, Planes]:
        """The output of planes, and what windows of them read of it."""
        values: dict[int, Any] = {self._input(x.shape): x}
        moments, cells = {}, {}
        for i, part in enumerate(self._of(x.shape, None)):
            kept = self._run(i, part, values, {})
            for norm in part.norms:
                moments[i, norm.value] = np.asarray(kept["moments", norm.value], np.float64)
                cells[i, norm.value] = self._cells(part, norm, kept)
        graph = self._graph(x.shape)
        read = {i: mx.array(values[i]) for i in dict.fromkeys(keys_and_values(graph))}
        mx.eval(*read.values())
        return values[graph.output], Planes(moments, cells, read)

    def window(self, x: mx.array, window: Window, planes: Planes, follow: bool = True) -> tuple[mx.array, Planes]:
        """The output of a window of planes `x`, of which `planes` were kept before they changed there, and what is to
        be kept now. The output's statistics `follow` what changed in the interior, or are those of `planes`; what is
        kept follows in either case. Keys and values of the interior take their place among those of the planes."""
        own = x[:, window.rows, window.columns]
        graph = self._graph(x.shape)
        values: dict[int, Any] = {self._input(own.shape): own}
        read, parts, found = dict(planes.keys_and_values), self._of(own.shape, x.shape), []
        for i, part in enumerate(parts):
            for value in {*part.stage.reads.values()} & {*read}:
                at, inner = window.inside(x.shape[1] // read[value].shape[1])
                read[value] = read[value][:]
                read[value][:, at[0], at[1]] = mx.array(values[value])[:, inner[0], inner[1]]
                values[value] = read[value]
            given: dict[Any, Any] = {}
            for norm in part.norms:
                at, inner = (window if follow else window.without_interior).inside(self.cell)
                old = planes.cells[i, norm.value][:, at[0], at[1]]
                before, numbers = self._cut(part, norm).before(old, inner, _plane(part.stage.graph, norm))
                given["moments before", norm.value] = planes.moments[i, norm.value]
                given["sums before", norm.parts[0]], given["interior", norm.value] = before, numbers
            found.append(self._run(i, part, values, given))

        moments, sums, (at, inner) = {}, {}, window.inside(self.cell)
        for i, part in enumerate(parts):
            for norm in part.norms:
                key, (_, *plane) = (i, norm.value), _plane(part.planes, norm)
                new = self._cells(part, norm, found[i])[:, inner[0], inner[1]]
                of_planes = planes.moments[key], planes.cells[key], new, at, math.prod(plane) // norm.groups
                moments[key], sums[key] = replaced(*of_planes)
        return values[graph.output], Planes(moments, sums, read)

    # ---- programs

    def _graph(self, shape: Shape) -> Graph:
        if shape not in self._graphs:
            self._graphs[shape] = trace(self.network, dict.fromkeys(self._inputs, shape))
        return self._graphs[shape]

    def _input(self, shape: Shape) -> int:
        (index,) = self._graph(shape).inputs.values()
        return index

    def _of(self, shape: Shape, of: Shape | None) -> list[_Part]:
        """The programs of planes of a shape, or of a window of a shape of planes `of` another."""
        if (shape, of) not in self._parts:
            graph, planes = self._graph(shape), self._graph(of or shape)
            if any(planes.nodes[value].shape[1] > (of or shape)[1] for value in keys_and_values(planes)):
                raise SigeError("a network of windows attends to planes of its input's size or smaller ones")
            both = zip(stages(graph, planes), stages(planes, planes), strict=True)
            self._parts[shape, of] = [_part(shape[1], stage, large.graph, of is not None) for stage, large in both]
        return self._parts[shape, of]

    def _run(self, at: int, part: _Part, values: dict[int, Any], given: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Runs a stage, whose values are added to those that are known; returns what its program records."""
        if at not in self._executors:
            self._executors[at] = executor_of_programs(part.lowered, self.network, self.device, None, 0, "float32")
        inputs = {name: mx.array(values[i]).astype(mx.float32) for name, i in part.stage.reads.items()}
        output, kept = self._executors[at].keep(part.program, inputs, given)
        for value, own in part.stage.gives.items():
            values[value] = output if own == part.stage.graph.output else kept["value", own]
        return kept

    # ---- sums

    def _cut(self, part: _Part, norm: FusedNorm) -> Cells:
        """How the plane that a norm is of is cut into cells."""
        return Cells(TILE, self.cell * _plane(part.stage.graph, norm)[1] // part.rows // TILE, norm.groups)

    def _cells(self, part: _Part, norm: FusedNorm, kept: Mapping[Any, Any]) -> Floats:
        """The sums that a pass has kept, by cell and group."""
        sums = np.asarray(kept["sums", norm.parts[0]])
        return self._cut(part, norm).of_tiles(sums, _plane(part.stage.graph, norm))


def _plane(graph: Graph, norm: FusedNorm) -> Shape:
    """(B, h, w, C) of the value that a norm is of, in a graph."""
    return graph.nodes[norm.parts[0]].shape


def _part(rows: int, stage: Stage, planes: Graph, window: bool) -> _Part:
    lowered = Lowered(stage.graph, EditPolicy(), TILE)
    norms = tuple(op for op in lowered.groups.ops if isinstance(op, FusedNorm))
    if any(len(norm.parts) > 1 for norm in norms):
        raise SigeError("a network of windows normalises what one operation computes, no concatenation")
    keys: list[Any] = [("value", own) for own in stage.graph.also]
    keys += [key for norm in norms for key in (("sums", norm.parts[0]), *([] if window else [("moments", norm.value)]))]
    program = lowered.keeping(keys, planes if window else None)
    if {("value", own) for own in stage.graph.also} - {buffer.key for buffer in program.buffers}:
        raise SigeError("a network of windows attends to what operations compute, not to another's value resampled")
    return _Part(rows, stage, planes, lowered, program, norms)
