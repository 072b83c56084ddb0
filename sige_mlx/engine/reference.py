"""The reference executor: what an edit means, in plain MLX on whole arrays. Every other executor must agree with it.

It is an oracle, not a way to save time: it computes every pixel and keeps those of the active tiles. It lowers nothing,
so it runs what nothing else can run.
"""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from sige_mlx.engine.recordings import Record
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

    @property
    def record_nbytes(self) -> int:
        """Bytes that recording one step keeps."""
        return 4 * sum(math.prod(node.shape) for node in self.graph.nodes)

    def run(self, inputs: Mapping[Any, mx.array]) -> mx.array:
        """The dense output."""
        return self.graph.run(inputs, self.params)[self.graph.output]

    def record(self, inputs: Mapping[Any, mx.array]) -> tuple[mx.array, Record]:
        """The dense output, and every node's value on the original, by its index."""
        values = self.graph.run(inputs, self.params)
        mx.eval(values)
        return values[self.graph.output], Record(dict(enumerate(values)))

    def holds(self, nbytes: int) -> None:
        """Recordings are where MLX puts them."""

    def bind(self, tiling: Tiling) -> Tiling:
        """Nothing to bind: an edit is run as it is described."""
        return tiling

    def edit(self, tiling: Tiling, record: Record, inputs: Mapping[Any, mx.array]) -> mx.array:
        """The output for edited inputs: active tiles anew, all other pixels as recorded.

        Operations that only say how a value is read, such as norms and concatenations, follow from the pixels below
        them, so they are in no region of their own.
        """
        regions, fixed = self.lowered.regions, [not seen for seen in self.graph.sees_image()]
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
            if isinstance(node.op, Norm) and node.index not in regions.fresh:
                scale, shift = node.op.affine(record.arrays[node.inputs[0]], given)
                value = read[0] * scale + shift
            else:
                value = node.op(read, given)
            if regions.of.get(node.index) is Region.TILES:
                active = mx.array(tiling.at((node.shape[1], node.shape[2])).pixels())
                value = mx.where(active[..., None], value, recorded)
            values.append(value)
        return values[self.graph.output]
