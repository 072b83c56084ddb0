"""The reference executor: what an edit means, in plain MLX on whole arrays. Every other executor must agree with it.

It is an oracle, not a way to save time: it computes every pixel and keeps those of the active tiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.graph.ir import Graph, Input
from sige_mlx.graph.plan import Edit
from sige_mlx.graph.regions import Region
from sige_mlx.nn.ops import Norm

Arrays = Mapping[str, mx.array]


@dataclass(frozen=True)
class ReferenceRecord:
    """Every node's value on the original."""

    values: list[mx.array]

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in self.values)


class ReferenceExecutor:
    """Runs a graph densely, records it, and edits it."""

    def __init__(self, graph: Graph, params: Arrays):
        self.graph = graph
        self.params = params

    def run(self, inputs: Arrays) -> mx.array:
        """The dense output."""
        return self.graph.run(inputs, self.params)[self.graph.output]

    def record(self, inputs: Arrays) -> tuple[mx.array, ReferenceRecord]:
        """The dense output, and the values an edit needs."""
        values = self.graph.run(inputs, self.params)
        mx.eval(values)
        return values[self.graph.output], ReferenceRecord(values)

    def prepare(self, edit: Edit) -> Edit:
        """Nothing to prepare: an edit is run as it is described."""
        return edit

    def edit(self, edit: Edit, record: ReferenceRecord, inputs: Arrays) -> mx.array:
        """The output for edited inputs: active tiles anew, all other pixels as recorded."""
        values: list[mx.array] = []
        for node in self.graph.nodes:
            recorded = record.values[node.index]
            if isinstance(node.op, Input):
                values.append(inputs[node.op.name])
                continue
            region = edit.regions.of[node.index]
            if region is Region.FIXED:
                values.append(recorded)
                continue
            read = [values[i] for i in node.inputs]
            given = {name: self.params[path] for name, path in node.params.items()}
            if isinstance(node.op, Norm) and node.index not in edit.regions.fresh:
                scale, shift = node.op.affine(record.values[node.inputs[0]], given)
                value = read[0] * scale + shift
            else:
                value = node.op(read, given)
            if region is Region.TILES:
                active = mx.array(edit.tiling.at((node.shape[1], node.shape[2])).pixels())
                value = mx.where(active[..., None], value, recorded)
            values.append(value)
        return values[self.graph.output]
