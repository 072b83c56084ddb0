"""Lowering of one edit."""

from collections.abc import Iterable, Sequence
from typing import Any

from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedNorm
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.base import Lowering
from sige_mlx.graph.lowering.stored import RAW, Form, Stored
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.graph.regions import Region, Regions
from sige_mlx.nn.ops import Shape


class EditLowering(Lowering):
    """What `regions` says, for one active tile in every plane (see `Program.on`). Arrays of the record are read, never
    written."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, regions: Regions):
        super().__init__(graph, fused, tile)
        self.regions = regions
        fresh = [op for op in fused if isinstance(op, FusedNorm) and op.norm in regions.fresh]
        self._fresh = {op.value for op in fresh}
        self._normed = {v for op in fresh for v in op.parts}
        self._partial: set[int] = set()
        self._statistics: dict[int, tuple[int, int]] = {}

    def op(self, op: Fused) -> None:
        if isinstance(op, FusedNorm) or self.computes(op):
            super().op(op)
        else:
            kept = self.kept_forms(op.value) if op.value in self.reads else []
            self.values[op.value] = Stored({form: self.keep_form(form, op.value) for form in kept})

    def computes(self, op: Fused) -> bool:
        if isinstance(op, FusedNorm):
            return op.value in self._fresh
        return self.regions.of[op.value] is not Region.FIXED

    def together(self, value: int, mod: fusion.Modulation) -> bool:
        of = self.regions.of
        return all(of[v] in (of[value], Region.FIXED) for v in (mod.gamma, mod.beta))

    def keep(self, what: Any, value: int, shape: Shape) -> int:
        return self.build.slot(Kind.RECORDED, (what, value), shape)

    def domain(self, value: int) -> p.Domain:
        n, h, w, _ = self.graph.nodes[value].shape
        if self.regions.of[value] is Region.DENSE:
            return p.Domain(n, h, w, self.tile)
        self.build.slot(Kind.GRID, (h, w), (n, -(-h // self.tile), -(-w // self.tile)))
        return p.Domain(n, h, w, self.tile, 1, self.build.slot(Kind.ROWS, (h, w), (1, 3), (h, w)))

    def new(self, form: Form, value: int) -> int:
        return self.build.scratch(*self.shape(value))

    def store(self, op: fusion.Written, domain: p.Domain) -> tuple[p.Output, ...]:
        if domain.list == NONE:
            return self.outputs(op, self.new_whole(op.value, self.kept_forms(op.value)), domain)
        self.values[op.value] = Stored(plane=(domain.h, domain.w))
        # With fresh statistics the blocks can be normalised only when they are known, from the raw ones: see `norm`.
        forms = [RAW if f.norm in self._fresh else f for f in self.reads[op.value]]
        return self.outputs(op, self.new_blocks(op.value, forms), domain)

    def new_blocks(self, value: int, forms: Iterable[Form]) -> dict[Form, int]:
        """Blocks of a value in some forms."""
        stored, c = self.values[value], self.shape(value)[-1]
        assert stored.plane is not None
        made = {form: self.build.blocks(stored.plane, self.tile, self.tile, c) for form in dict.fromkeys(forms)}
        stored.blocks |= made
        return made

    def written(self, op: fusion.Written, lowered: p.Conv | p.Depthwise) -> None:
        super().written(op, lowered)
        if op.value == self.graph.output and lowered.out.list != NONE:
            n, h, w, _ = op.shape
            pixels = self.tensor(op.value, RAW, p.Domain(n, h, w, self.tile), halo=True)
            self.build.emit(p.Paste(pixels, self.build.slot(Kind.OUTPUT, None, op.shape)), self.name(op.value))

    def statistics(self, norm: int) -> tuple[int, int]:
        n, _, _, c = self.graph.nodes[norm].shape
        if norm not in self._fresh:
            return self.keep("scale", norm, (n, c)), self.keep("shift", norm, (n, c))
        if norm not in self._statistics:
            self._statistics[norm] = (self.build.scratch(n, c), self.build.scratch(n, c))
        return self._statistics[norm]

    def partial_sums(self, op: fusion.Written, domain: p.Domain) -> int:
        """Sums of the tiles that are computed; `norm` completes them with the recorded ones."""
        if op.value not in self._normed:
            return NONE
        n, h, w, c = op.shape
        if domain.list == NONE:
            self.sums[op.value] = self.build.scratch(n * self.tiles_in((h, w)), 2, c)
        else:
            self._partial.add(op.value)
            self.sums[op.value] = self.build.blocks((h, w), 2, c)
        return self.sums[op.value]

    def norm(self, norm: FusedNorm) -> None:
        """Fresh statistics where the regions ask for them, then the blocks in the forms that waited for them."""
        if norm.value not in self._fresh:
            return
        for value in norm.parts:
            self.complete_sums(value)
        super().norm(norm)
        for value in norm.parts:
            self.rewrite_blocks(value, [f for f in self.reads.get(value, ()) if f.norm == norm.value], norm.value)

    def complete_sums(self, value: int) -> None:
        """Pastes the sums of recomputed tiles over the recorded ones, as an image of one pixel a tile."""
        if value not in self._partial:
            return
        self._partial.remove(value)
        n, h, w, c = self.graph.nodes[value].shape
        shape = (n * self.tiles_in((h, w)), 2, c)
        gh, gw = -(-h // self.tile), -(-w // self.tile)
        recorded = self.keep("sums", value, shape)
        sums = p.Tensor(n, gh, gw, 2 * c, 1, recorded, self.sums[value], self.build.slot(Kind.GRID, (h, w)))
        self.sums[value] = self.build.scratch(*shape)
        self.build.emit(p.Paste(sums, self.sums[value]), self.name(value))

    def attention(self, op: FusedAttention) -> None:
        """In tiles only they ask; they see the keys and values of all pixels."""
        if self.regions.of[op.value] is Region.DENSE:
            super().attention(op)
            return
        domain, (stored, first) = self.domain(op.value), self._joined.get(op.q, (op.q, 0))
        blocks = self.tensor(stored, RAW, domain, halo=False).blocks
        q = self.build.part(blocks, first), self.shape(stored)[-1]
        self.values[op.value] = Stored(plane=(domain.h, domain.w))
        dst = self.new_blocks(op.value, [RAW])[RAW]
        self.attend(op, domain, (q, self.tokens(op.k), self.tokens(op.v)), dst)
        self.rewrite_blocks(op.value, [f for f in self.reads[op.value] if f != RAW], op.value)

    def rewrite_blocks(self, value: int, forms: Iterable[Form], node: int) -> None:
        """Writes raw blocks again in other forms."""
        forms = [f for f in forms if self.values[value].plane is not None]
        if not forms:
            return
        c, domain = self.graph.nodes[value].shape[-1], self.domain(value)
        source = p.Source(self.tensor(value, RAW, domain, halo=False), 1, 1, 1, 0, 0)
        made = self.new_blocks(value, forms)
        outputs = tuple(self.output(dst, form, domain) for form, dst in made.items())
        self.build.emit(p.Depthwise(domain, c, NONE, NONE, NONE, None, 0, source, outputs), self.name(node))
