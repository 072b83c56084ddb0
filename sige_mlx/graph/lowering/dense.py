"""Lowering of the dense pass, which also records."""

from collections.abc import Iterable, Sequence
from typing import Any

from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedConv, FusedNorm
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.base import Lowering, Stored
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.nn.ops import Shape


class DenseLowering(Lowering):
    """The whole network on the whole image; arrays whose keys are in `recorded` are kept for edits."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, recorded: Iterable[Any] = ()):
        super().__init__(graph, fused, tile)
        self.recorded = frozenset(recorded)
        self._normed = {v for op in fused if isinstance(op, FusedNorm) for v in op.parts}
        self._affine: dict[int, tuple[int, int]] = {}

    def keep(self, what: str, value: int, shape: Shape) -> int:
        if (what, value) in self.recorded:
            return self.build.slot(Kind.RECORDED, (what, value), shape)
        return self.build.scratch(*shape)

    def domain(self, conv: FusedConv) -> p.Domain:
        n, h, w, _ = conv.shape
        return p.Domain(n, h, w, self.tile)

    def store(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        if conv.value == self.graph.output:
            dst = self.build.slot(Kind.OUTPUT, None, conv.shape)
        else:
            dst = self.keep("value", conv.value, conv.shape)
        self.values[conv.value] = Stored(dst)
        return (p.Output(dst),)

    def affine(self, norm: int) -> tuple[int, int]:
        if norm not in self._affine:
            n, _, _, c = self.graph.nodes[norm].shape
            self._affine[norm] = (self.keep("scale", norm, (n, c)), self.keep("shift", norm, (n, c)))
        return self._affine[norm]

    def partial_sums(self, conv: FusedConv, domain: p.Domain) -> int:
        if conv.value not in self._normed:
            return NONE
        n, h, w, c = conv.shape
        self.sums[conv.value] = self.keep("sums", conv.value, (n * self.tiles_in((h, w)), 2, c))
        return self.sums[conv.value]
