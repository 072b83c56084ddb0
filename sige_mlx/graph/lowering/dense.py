"""Lowering of the dense pass, which also records."""

from collections.abc import Iterable, Sequence
from typing import Any

from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedNorm
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.base import Lowering
from sige_mlx.graph.lowering.stored import RAW, Form
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.nn.ops import Shape


class DenseLowering(Lowering):
    """The whole network on the whole image; arrays whose keys are in `recorded` are kept for edits."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, recorded: Iterable[Any] = ()):
        super().__init__(graph, fused, tile)
        self.recorded = dict.fromkeys(recorded)
        self._normed = {v for op in fused if isinstance(op, FusedNorm) for v in op.parts}
        self._statistics: dict[int, tuple[int, int]] = {}

    def keep(self, what: Any, value: int, shape: Shape) -> int:
        if (what, value) in self.recorded:
            return self.build.slot(Kind.RECORDED, (what, value), shape)
        return self.build.scratch(*shape)

    def computes(self, op: Fused) -> bool:
        return True

    def together(self, value: int, mod: fusion.Modulation) -> bool:
        return True

    def domain(self, value: int) -> p.Domain:
        n, h, w, _ = self.graph.nodes[value].shape
        return p.Domain(n, h, w, self.tile)

    def new(self, form: Form, value: int) -> int:
        return self.keep_form(form, value)

    def store(self, op: fusion.Written, domain: p.Domain) -> tuple[p.Output, ...]:
        forms = [*self.kept_forms(op.value), *self._recorded_forms(op.value)]
        return self.outputs(op, self.new_whole(op.value, forms), domain)

    def _recorded_forms(self, value: int) -> Iterable[Form]:
        """What edits want of a value, though the dense pass does not."""
        for what, of in self.recorded:
            if of == value and (what == "value" or isinstance(what, Form)):
                yield RAW if what == "value" else what

    def statistics(self, norm: int) -> tuple[int, int]:
        if norm not in self._statistics:
            n, _, _, c = self.graph.nodes[norm].shape
            self._statistics[norm] = (self.keep("scale", norm, (n, c)), self.keep("shift", norm, (n, c)))
        return self._statistics[norm]

    def partial_sums(self, op: fusion.Written, domain: p.Domain) -> int:
        if op.value not in self._normed:
            return NONE
        n, h, w, c = op.shape
        self.sums[op.value] = self.keep("sums", op.value, (n * self.tiles_in((h, w)), 2, c))
        return self.sums[op.value]
