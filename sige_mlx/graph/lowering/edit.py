"""Lowering of one edit."""

from collections.abc import Sequence

from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedConv, FusedNorm, FusedTimestep, Read
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.base import ACTIVATIONS, RAW, Form, Lowering, Stored
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.graph.regions import Region, Regions
from sige_mlx.nn.ops import Shape


class EditLowering(Lowering):
    """What `regions` says, for one active tile in every plane (see `Program.on`). Arrays of the record are read, never
    written."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, regions: Regions):
        super().__init__(graph, fused, tile)
        self.regions = regions
        self._reads = self._read_forms()
        fresh = [op for op in fused if isinstance(op, FusedNorm) and op.value in regions.fresh]
        self._normed = {v for op in fresh for v in op.parts}
        self._partial: set[int] = set()
        self._fresh_affine: dict[int, tuple[int, int]] = {}

    def _read_forms(self) -> dict[int, dict[Form, None]]:
        """The forms that each value is read in, in order, by what an edit computes."""
        forms: dict[int, dict[Form, None]] = {self.graph.output: {RAW: None}}
        for op in self.fused:
            if self.regions.of[op.value] is Region.FIXED:
                continue
            if isinstance(op, FusedConv):
                reads = [r for s in op.sources for r in s.view.parts]
                reads += [Read(value) for value in (op.vec, op.residual) if value is not None]
            elif isinstance(op, FusedAttention):
                reads = [Read(op.q), Read(op.k), Read(op.v)]
            else:
                continue
            for r in reads:
                forms.setdefault(r.value, {})[Form.of(r)] = None
        return forms

    def conv(self, conv: FusedConv) -> None:
        if self.regions.of[conv.value] is Region.FIXED:
            self.values[conv.value] = Stored(self.keep("value", conv.value, conv.shape))
            return
        super().conv(conv)
        if conv.value == self.graph.output and self.regions.of[conv.value] is Region.TILES:
            n, h, w, _ = conv.shape
            everywhere = p.Domain(n, h, w, self.tile)
            pasted = p.Paste(
                self.tensor(conv.value, RAW, everywhere, halo=True),
                self.build.slot(Kind.OUTPUT, None, conv.shape),
            )
            self.build.emit(pasted, self.name(conv.value))

    def timestep(self, op: FusedTimestep) -> None:
        """A time embedding does not depend on the image: the recorded one serves."""
        self.values[op.value] = Stored(self.keep("value", op.value, op.shape))

    def keep(self, what: str, value: int, shape: Shape) -> int:
        return self.build.slot(Kind.RECORDED, (what, value), shape)

    def domain(self, conv: FusedConv) -> p.Domain:
        n, h, w, _ = conv.shape
        if self.regions.of[conv.value] is Region.DENSE:
            return p.Domain(n, h, w, self.tile)
        self.build.slot(Kind.GRID, (h, w), (n, -(-h // self.tile), -(-w // self.tile)))
        return p.Domain(n, h, w, self.tile, 1, self.build.slot(Kind.ROWS, (h, w), (1, 3), (h, w)))

    def store(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        if domain.list == NONE:
            output = conv.value == self.graph.output
            dst = self.build.slot(Kind.OUTPUT, None, conv.shape) if output else self.build.scratch(*conv.shape)
            self.values[conv.value] = Stored(dst)
            return (p.Output(dst),)
        stored = self.values[conv.value] = Stored(NONE, (domain.h, domain.w))
        # With fresh statistics the blocks can be normalised only when they are known, from the raw ones: see `norm`.
        forms = dict.fromkeys(RAW if f.norm in self.regions.fresh else f for f in self._reads[conv.value])
        if len(forms) > p.MAX_OUTPUTS:
            raise SigeError(f"{self.name(conv.value)} is read in {len(forms)} forms; {p.MAX_OUTPUTS} is the most")
        return tuple(self.block_output(stored, form, conv.shape[-1]) for form in forms)

    def block_output(self, stored: Stored, form: Form, c: int) -> p.Output:
        """Blocks of a value in a form, as an epilogue writes them."""
        assert stored.plane is not None
        stored.blocks[form] = self.build.blocks(stored.plane, self.tile, self.tile, c)
        scale, shift, stride = self.affine_part(form)
        return p.Output(stored.blocks[form], scale, shift, stride, ACTIVATIONS[form.act])

    def affine(self, norm: int) -> tuple[int, int]:
        n, _, _, c = self.graph.nodes[norm].shape
        if norm not in self.regions.fresh:
            return self.keep("scale", norm, (n, c)), self.keep("shift", norm, (n, c))
        if norm not in self._fresh_affine:
            self._fresh_affine[norm] = (self.build.scratch(n, c), self.build.scratch(n, c))
        return self._fresh_affine[norm]

    def partial_sums(self, conv: FusedConv, domain: p.Domain) -> int:
        """Sums of the tiles that are computed; `norm` completes them with the recorded ones."""
        if conv.value not in self._normed:
            return NONE
        n, h, w, c = conv.shape
        if domain.list == NONE:
            self.sums[conv.value] = self.build.scratch(n * self.tiles_in((h, w)), 2, c)
        else:
            self._partial.add(conv.value)
            self.sums[conv.value] = self.build.blocks((h, w), 2, c)
        return self.sums[conv.value]

    def norm(self, norm: FusedNorm) -> None:
        """Fresh statistics where the regions ask for them, then the blocks in the forms that waited for them."""
        if norm.value not in self.regions.fresh:
            return
        for value in norm.parts:
            self.complete_sums(value)
        super().norm(norm)
        for value in norm.parts:
            self.normalise_blocks(norm.value, value)

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

    def normalise_blocks(self, norm: int, value: int) -> None:
        stored = self.values[value]
        forms = [f for f in self._reads.get(value, ()) if f.norm == norm]
        if stored.plane is None or not forms:
            return
        n, h, w, c = self.graph.nodes[value].shape
        domain = p.Domain(n, h, w, self.tile, 1, self.build.slot(Kind.ROWS, (h, w)))
        source = p.Source(self.tensor(value, RAW, domain, halo=False), 1, 1, 1, 0, 0)
        outputs = tuple(self.block_output(stored, form, c) for form in forms)
        self.build.emit(p.Depthwise(domain, c, NONE, NONE, NONE, None, 0, source, outputs), self.name(norm))
