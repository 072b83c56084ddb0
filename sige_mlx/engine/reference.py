"""The reference executor: what an edit means, in plain MLX on whole arrays. Every other executor must agree with it.

It is an oracle, not a way to save time: it computes every pixel and keeps those of the active tiles. It lowers nothing,
so it runs what nothing else can run.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np

from sige_mlx.engine.changes import Replaced
from sige_mlx.engine.recordings import Codec, Record
from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion.views import is_view
from sige_mlx.graph.ir import Input
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.ops import Norm

Arrays = Mapping[str, mx.array]


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
        """The dense output, and every node's value on the original, by its index."""
        values = self.graph.run(inputs, self.params)
        mx.eval(values)
        return values[self.graph.output], Record(dict(enumerate(values)))

    def holds(self, nbytes: int) -> None:
        """Recordings are where MLX puts them."""

    @property
    def keeps(self) -> str:
        """All that says how it keeps a step: every node's value."""
        return repr([node.shape for node in self.graph.nodes])

    def store(self, record: Record) -> tuple[Codec, list[Any]]:
        """How planes of a record are kept, and its arrays, for a file."""
        return "float32", [np.asarray(record.arrays[node.index]) for node in self.graph.nodes]

    def restored(self, codec: Codec, arrays: Sequence[Any]) -> Record:
        """A record of what `store` gave. Raises `SigeError` for other arrays."""
        if [a.shape for a in arrays] != [tuple(node.shape) for node in self.graph.nodes]:
            raise SigeError("these arrays are no recording of this network")
        return Record({node.index: mx.array(array) for node, array in zip(self.graph.nodes, arrays, strict=True)})

    def bind_commit(self, tiling: Tiling) -> Tiling:
        """Nothing to bind."""
        return tiling

    def bind(self, tiling: Tiling) -> Tiling:
        """Nothing to bind: an edit is run as it is described."""
        return tiling

    def output(self, record: Record) -> mx.array:
        """The recorded output."""
        return mx.array(record.arrays[self.graph.output])

    def give_output(self, record: Record, output: mx.array) -> None:
        """Gives a record another output."""
        record.arrays[self.graph.output] = output

    def edit(self, tiling: Tiling, record: Record, inputs: Mapping[Any, mx.array]) -> mx.array:
        """The output for edited inputs."""
        return self._edited(tiling, record, inputs)[self.graph.output]

    def commit(self, tiling: Tiling, record: Record, inputs: Mapping[Any, mx.array]) -> tuple[mx.array, Replaced]:
        """The output for edited inputs, and the values that their own have replaced in the record. Recorded statistics
        are taken of recorded values, so they follow."""
        values = self._edited(tiling, record, inputs)
        mx.eval(values)
        return values[self.graph.output], self.swap(record, Replaced(dict(enumerate(values)), {}))

    def swap(self, record: Record, replaced: Replaced) -> Replaced:
        """Puts back what a commit replaced, and returns what that replaces."""
        before = {key: record.arrays[key] for key in replaced.arrays}
        record.arrays.update(replaced.arrays)
        return Replaced(before, {})

    def _edited(self, tiling: Tiling, record: Record, inputs: Mapping[Any, mx.array]) -> list[mx.array]:
        """Every node's value for edited inputs: active tiles anew, all other pixels as recorded.

        Operations that only say how a value is read, such as norms and concatenations, follow from the pixels below
        them, so they are in no region of their own.
        """
        fresh, fixed = self.lowered.regions.fresh, [not seen for seen in self.graph.sees_image()]
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
            given = {name: self.params[path] for name, path in node.params.items()}
            if isinstance(node.op, Norm) and node.index not in fresh:
                scale, shift = node.op.affine(record.arrays[node.inputs[0]], given)
                value = read[0] * scale + shift
            else:
                value = node.op(read, given)
            if node.index in self._in_tiles:
                active = mx.array(tiling.at((node.shape[1], node.shape[2])).pixels())
                value = mx.where(active[..., None], value, recorded)
            values.append(value)
        return values
