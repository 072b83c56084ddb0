"""The reference executor: what an edit means, in plain MLX on whole arrays. Every other executor must agree with it.

It is an oracle, not a way to save time: it computes every pixel and keeps those of the active tiles. It lowers nothing,
so it runs what nothing else can run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np

from sige_mlx.engine import statistics
from sige_mlx.engine.changes import Replaced
from sige_mlx.engine.recordings import Codec, Record
from sige_mlx.engine.statistics import Doubles
from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion.views import is_view
from sige_mlx.graph.ir import Input, Node
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.ops import Norm, SampleNorm

Arrays = Mapping[str, mx.array]

NOTHING: Mapping[Any, Any] = {}


class ReferenceExecutor:
    """Runs a graph densely, records it, and edits it."""

    def __init__(self, lowered: Lowered, params: Arrays):
        self.lowered = lowered
        self.graph = lowered.graph
        self.params = params

    @cached_property
    def _in_tiles(self) -> frozenset[int]:
        """Nodes whose values are recorded ones outside of active tiles. What only says how a value is read follows from
        that, with statistics that a commit has renewed, too; but the pixels of an output are those of the record."""
        graph = self.lowered.graph
        stored = (i for i, region in self.lowered.regions.of.items() if region is Region.TILES)
        return frozenset(i for i in stored if i == graph.output or not is_view(graph.nodes[i].op))

    @property
    def weights_nbytes(self) -> int:
        """Bytes of the weights."""
        return sum(array.nbytes for array in self.params.values())

    codecs: ClassVar[tuple[Codec, ...]] = ("float32",)
    on_disk = False

    def put_on_disk(self, record: Record, folder: Path) -> None:
        """It keeps nothing on the disk."""
        raise NotImplementedError

    def expect(self, bound: Tiling, record: Record) -> None:
        """Everything is there."""

    def record_nbytes(self, codec: Codec = "float32") -> int:
        """Bytes that recording one step keeps."""
        return 4 * sum(math.prod(node.shape) for node in self.graph.nodes)

    def run(self, inputs: Mapping[Any, mx.array]) -> mx.array:
        """The dense output."""
        return self.graph.run(inputs, self.params)[self.graph.output]

    def record(
        self, inputs: Mapping[Any, mx.array], codec: Codec = "float32", only: Tiling | None = None
    ) -> tuple[mx.array, Record]:
        """The dense output, and every node's value on the original, by its index; and the moments that estimates move,
        if edits make any."""
        values = self.graph.run(inputs, self.params)
        mx.eval(values)
        record = Record(dict(enumerate(values)))
        for key in self._estimating:
            record.arrays[key] = self._moments(key[1], values)
        return values[self.graph.output], record

    @cached_property
    def _norms(self) -> dict[int, SampleNorm]:
        """The norms that take statistics, by their nodes."""
        return {node.index: node.op for node in self.graph.nodes if isinstance(node.op, SampleNorm)}

    def _moments(self, norm: int, values: Any) -> Doubles:
        """The moments of what a norm is given, among all nodes' values."""
        return np.asarray(self._norms[norm].moments(values[self.graph.nodes[norm].inputs[0]]), np.float64)

    @property
    def _estimating(self) -> list[tuple[str, int]]:
        """Estimates are made of these: the moments of every norm, and those at half the size."""
        estimates = "estimated" in self.lowered.policy.all_statistics
        return [(what, i) for i in self._norms for what in ("moments", "small")] if estimates else []

    def holds(self, nbytes: int) -> None:
        """Recordings are where MLX puts them."""

    @property
    def keeps(self) -> str:
        """All that says how it keeps a step: every node's value."""
        return repr([node.shape for node in self.graph.nodes])

    def store(self, record: Record) -> tuple[Codec, list[Any]]:
        """How planes of a record are kept, and its arrays, for a file."""
        values = [np.asarray(record.arrays[node.index]) for node in self.graph.nodes]
        return "float32", values + [record.arrays[key] for key in self._estimating]

    def restored(self, codec: Codec, arrays: Sequence[Any]) -> Record:
        """A record of what `store` gave. Raises `SigeError` for other arrays."""
        shapes = [tuple(node.shape) for node in self.graph.nodes]
        for _, norm in self._estimating:
            n, _, _, c = self.graph.nodes[norm].shape
            shapes.append((n, 2, self._norms[norm].groups_of(c)))
        if [a.shape for a in arrays] != shapes:
            raise SigeError("these arrays are no recording of this network")
        count = len(self.graph.nodes)
        values = {node.index: mx.array(array) for node, array in zip(self.graph.nodes, arrays[:count], strict=True)}
        return Record({**values, **dict(zip(self._estimating, map(np.array, arrays[count:]), strict=True))})

    def measure(self, inputs: Mapping[Any, mx.array]) -> Mapping[Any, Doubles]:
        """The moments of all norms, by their nodes."""
        values = self.graph.run(inputs, self.params)
        return {norm: self._moments(norm, values) for norm in self._norms}

    def given(self, record: Record, measured: Mapping[Any, Doubles], estimated: bool) -> Mapping[Any, Any]:
        """What takes the place of recorded moments once these were measured at half the size: they themselves, and
        where statistics are estimated the moments that they give."""
        given: dict[Any, Any] = {("small", i): moments for i, moments in measured.items()}
        for i, small in measured.items() if estimated else ():
            before = record.arrays["moments", i], record.arrays["small", i]
            given["moments", i] = statistics.estimated(*before, small, self._norms[i].eps)
        return given

    def bind(self, tiling: Tiling, statistics: Statistics) -> "Described":
        """Nothing to bind: an edit is run as it is described."""
        return Described(tiling, self.lowered.regions_of(statistics).fresh)

    bind_commit = bind

    def output(self, record: Record) -> mx.array:
        """The recorded output."""
        return mx.array(record.arrays[self.graph.output])

    def give_output(self, record: Record, output: mx.array) -> None:
        """Gives a record another output."""
        record.arrays[self.graph.output] = output

    def edit(
        self, edit: "Described", record: Record, inputs: Mapping[Any, mx.array], given: Mapping[Any, Any] = NOTHING
    ) -> mx.array:
        """The output for edited inputs."""
        return self._edited(edit, record, inputs, given)[self.graph.output]

    def commit(
        self, edit: "Described", record: Record, inputs: Mapping[Any, mx.array], given: Mapping[Any, Any] = NOTHING
    ) -> tuple[mx.array, Replaced]:
        """The output for edited inputs, and the values that their own have replaced in the record. Recorded statistics
        are taken of recorded values, so they follow; moments that are in the record move as those do."""
        values = self._edited(edit, record, inputs, given)
        mx.eval(values)
        renewed: dict[Any, Any] = {}
        for what, i in self._estimating:
            if what == "moments":
                difference = self._moments(i, values) - self._moments(i, record.arrays)
                renewed[what, i] = record.arrays[what, i] + difference
        replaced = Replaced({**dict(enumerate(values)), **renewed, **given}, {})
        return values[self.graph.output], self.swap(record, replaced)

    def swap(self, record: Record, replaced: Replaced) -> Replaced:
        """Puts back what a commit replaced, and returns what that replaces."""
        before = {key: record.arrays[key] for key in replaced.arrays}
        record.arrays.update(replaced.arrays)
        return Replaced(before, {})

    def _affine(
        self, node: Node, norm: Norm, record: Record, given: Mapping[Any, Any], params: Arrays
    ) -> tuple[mx.array, mx.array]:
        """A norm by moments that are given or in the record, else by those of the recorded value."""
        moments = given.get(("moments", node.index), record.arrays.get(("moments", node.index)))
        recorded = record.arrays[node.inputs[0]]
        if moments is None or not isinstance(norm, SampleNorm):
            return norm.affine(recorded, params)
        return norm.affine_of(mx.array(moments, dtype=recorded.dtype), node.shape[-1], params)

    def _edited(
        self, edit: "Described", record: Record, inputs: Mapping[Any, mx.array], given: Mapping[Any, Any]
    ) -> list[mx.array]:
        """Every node's value for edited inputs: active tiles anew, all other pixels as recorded.

        Operations that only say how a value is read, such as norms and concatenations, follow from the pixels below
        them, so they are in no region of their own.
        """
        fixed = [not seen for seen in self.graph.sees_image()]
        values: list[mx.array] = []
        for node in self.graph.nodes:
            recorded = record.arrays[node.index]
            if isinstance(node.op, Input):
                values.append(inputs[node.op.name])
                continue
            if fixed[node.index]:
                values.append(recorded)
                continue
            read = [values[i] for i in node.inputs]
            params = {name: self.params[path] for name, path in node.params.items()}
            if isinstance(node.op, Norm) and node.index not in edit.fresh:
                scale, shift = self._affine(node, node.op, record, given, params)
                value = read[0] * scale + shift
            else:
                value = node.op(read, params)
            if node.index in self._in_tiles:
                active = mx.array(edit.tiling.at((node.shape[1], node.shape[2])).pixels())
                value = mx.where(active[..., None], value, recorded)
            values.append(value)
        return values


@dataclass(frozen=True)
class Described:
    """An edit: its tiles, and the norms that take statistics of what they are given."""

    tiling: Tiling
    fresh: frozenset[int]
