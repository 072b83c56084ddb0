"""Lowering: from a fused graph to a program, for a dense pass or for one edit.

In both, a stored value is written raw, once, by the convolution that computes it, and a convolution normalises what it reads.
What an edit adds: a value in the tiled region is its recorded base plus recomputed blocks. The convolution that computes
the blocks knows the recorded statistics, so it also writes the blocks normalised, once per way they will be read
(normalise at the producer); only halo pixels, which come from the base, are normalised by the reader.
Nothing as large as an activation is copied or written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sige_mlx.errors import SigeError
from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedConv, FusedNorm, FusedTimestep, Read
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.program import NONE, Kind, Program, Slot
from sige_mlx.graph.regions import Region, Regions
from sige_mlx.graph.tiling import ActiveTiles, Tiling

ACTIVATIONS = {None: 0, "silu": 1}

Form = tuple[int | None, int, str | None]
"""How blocks are written: norm, first channel in it, activation."""

RAW: Form = (None, 0, None)


@dataclass
class _Stored:
    """Where a value is: a base, and blocks by form when only tiles were recomputed."""

    base: int
    tiles: ActiveTiles | None = None
    blocks: dict[Form, int] = field(default_factory=dict)


class Lowering:
    """The part that a dense pass and an edit share. `tile` is the side of a tile in pixels."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int):
        self.graph = graph
        self.fused = fused
        self.tile = tile
        self.program = Program()
        self._slots: dict[tuple[Kind, Any], int] = {}
        self._values: dict[int, _Stored] = {}
        self._sums: dict[int, int] = {}
        self._affine: dict[int, tuple[int, int]] = {}
        for name, index in graph.inputs.items():
            self._values[index] = _Stored(self.slot(Kind.INPUT, name, graph.nodes[index].shape))

    # ---- slots

    def slot(self, kind: Kind, key: Any, shape: tuple[int, ...] = ()) -> int:
        """The slot of `key`, made when it is new."""
        index = self._slots.get((kind, key))
        if index is None:
            index = self._slots[kind, key] = len(self.program.slots)
            self.program.slots.append(Slot(kind, key, shape))
        return index

    def scratch(self, *shape: int) -> int:
        return self.slot(Kind.SCRATCH, len(self.program.slots), shape)

    def part(self, slot: int, first: int) -> int:
        return self.slot(Kind.PART, (slot, first)) if first else slot

    def emit(self, op: p.ProgramOp, node: int) -> None:
        self.program.ops.append(op)
        self.program.names.append(self.graph.nodes[node].name)

    # ---- what an edit does differently

    def keep(self, what: str, value: int, shape: tuple[int, ...]) -> int:
        """Slot of an array that a later edit may want."""
        raise NotImplementedError

    def domain(self, conv: FusedConv) -> p.Domain:
        """Which pixels of a convolution are computed."""
        raise NotImplementedError

    def outputs(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        """What a convolution writes; remembers where."""
        raise NotImplementedError

    def wants_sums(self, value: int) -> bool:
        """Whether a norm will take fresh statistics of a value."""
        raise NotImplementedError

    # ---- ops

    def conv(self, conv: FusedConv) -> None:
        n, h, w, c = conv.shape
        domain = self.domain(conv)
        sources: list[p.Source] = []
        for source in conv.sources:
            sources += self.sources(source, domain)
        if len(sources) > p.MAX_SOURCES:
            raise SigeError(
                f"{self.graph.nodes[conv.value].name} reads {len(sources)} values; at most {p.MAX_SOURCES} are supported"
            )
        sums = NONE
        if self.wants_sums(conv.value):
            sums = self.sums_slot(conv, domain)
        outputs = self.outputs(conv, domain)
        self.emit(
            p.Conv(
                out=domain,
                c_out=c,
                weight=self.slot(Kind.WEIGHT, conv.value),
                bias=self.slot(Kind.BIAS, conv.biases, (c,)) if conv.biases else NONE,
                vec=NONE if conv.vec is None else self._values[conv.vec].base,
                vec_stride=c,
                sums=sums,
                residual=None if conv.residual is None else self.tensor(conv.residual, RAW, domain, halo=False),
                source=tuple(sources),
                output=outputs,
            ),
            conv.value,
        )

    def sums_slot(self, conv: FusedConv, domain: p.Domain) -> int:
        raise NotImplementedError

    def tiles_in(self, shape: tuple[int, ...]) -> int:
        """Tiles per image of a plane."""
        return -(-shape[1] // self.tile) * -(-shape[2] // self.tile)

    def sources(self, source: fusion.Source, domain: p.Domain) -> Iterable[p.Source]:
        """One program source per concatenated value."""
        _, kh, kw, _ = source.weight_shape
        (top, _), (left, _) = source.padding
        halo = kh > 1 or kw > 1 or source.stride > 1 or source.view.upsample > 0
        for read in source.view.parts:
            form: Form = (read.norm, read.first, read.act)
            scale = shift = NONE
            stride = 0
            if read.norm is not None:
                norm = self.graph.nodes[read.norm]
                scale, shift = (self.part(s, read.first) for s in self.affine(read.norm))
                stride = norm.shape[-1]
            yield p.Source(
                self.tensor(read.value, form, domain, halo),
                kh,
                kw,
                source.stride,
                top,
                left,
                source.view.upsample,
                scale,
                shift,
                stride,
                ACTIVATIONS[read.act],
            )

    def tensor(self, value: int, form: Form, domain: p.Domain, halo: bool) -> p.Tensor:
        """A stored value as an op that computes `domain` reads it; `halo`: beyond its own pixels."""
        n, h, w, c = self.graph.nodes[value].shape
        stored = self._values[value]
        if stored.tiles is None:
            return p.Tensor(n, h, w, c, self.tile, stored.base)
        # An op over the same tiles that reads no halo never reads the base, so the base need not be recorded for it.
        base = NONE
        if halo or domain.list == NONE or (domain.h, domain.w) != (h, w):
            base = stored.base = self.keep("value", value, (n, h, w, c))
        return p.Tensor(n, h, w, c, self.tile, base, stored.blocks[form], self.slot(Kind.GRID, (h, w)))

    def norm(self, norm: FusedNorm, parts: Iterable[int]) -> None:
        shape = self.graph.nodes[norm.value].shape
        channels = [self.graph.nodes[v].shape[-1] for v in norm.parts]
        scale, shift = self.affine(norm.value)
        self.emit(
            p.Norm(
                n=shape[0],
                pixels=shape[1] * shape[2],
                groups=norm.groups,
                sums=tuple(parts),
                tiles=(self.tiles_in(shape),) * len(channels),
                c=tuple(channels),
                weight=self.slot(Kind.PARAM, norm.weight, (shape[-1],)),
                bias=self.slot(Kind.PARAM, norm.bias, (shape[-1],)),
                scale=scale,
                shift=shift,
                eps=norm.eps,
            ),
            norm.value,
        )

    def affine(self, norm: int) -> tuple[int, int]:
        """Slots of a norm's scale and shift."""
        if norm not in self._affine:
            n, _, _, c = self.graph.nodes[norm].shape
            self._affine[norm] = (self.keep("scale", norm, (n, c)), self.keep("shift", norm, (n, c)))
        return self._affine[norm]

    def attention(self, att: FusedAttention) -> None:
        n, h, w, c = att.shape
        q, k, v = (self.dense(x) for x in (att.q, att.k, att.v))
        out = self.scratch(n, h, w, c)
        self._values[att.value] = _Stored(out)
        d = c // att.heads
        self.emit(p.Attention(n, h * w, h * w, att.heads, d, q, k, v, out, c, c, c, d**-0.5), att.value)

    def dense(self, value: int) -> int:
        """The slot of a value as one array."""
        stored = self._values[value]
        if stored.tiles is None:
            return stored.base
        shape = self.graph.nodes[value].shape
        full = self.scratch(*shape)
        everywhere = p.Domain(shape[0], shape[1], shape[2], self.tile)
        self.emit(p.Paste(self.tensor(value, RAW, everywhere, halo=True), full), value)
        return full

    def timestep(self, op: FusedTimestep) -> None:
        n, _, _, dim = op.shape
        out = self.scratch(n, 1, 1, dim)
        self._values[op.value] = _Stored(out)
        t = self._values[self.graph.inputs[op.input]].base
        self.emit(p.Timestep(n, dim, t, out, op.max_period), op.value)


class DenseLowering(Lowering):
    """The whole network on the whole image; arrays whose keys are in `recorded` are kept for edits."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, recorded: Iterable[Any] = ()):
        super().__init__(graph, fused, tile)
        self.recorded = frozenset(recorded)
        self._normed = {v for op in fused if isinstance(op, FusedNorm) for v in op.parts}

    def lower(self) -> Program:
        for op in self.fused:
            if isinstance(op, FusedConv):
                self.conv(op)
            elif isinstance(op, FusedNorm):
                self.norm(op, [self._sums[v] for v in op.parts])
            elif isinstance(op, FusedAttention):
                self.attention(op)
            else:
                self.timestep(op)
        return self.program

    def keep(self, what: str, value: int, shape: tuple[int, ...]) -> int:
        if (what, value) in self.recorded:
            return self.slot(Kind.RECORDED, (what, value), shape)
        return self.scratch(*shape)

    def domain(self, conv: FusedConv) -> p.Domain:
        n, h, w, _ = conv.shape
        return p.Domain(n, h, w, self.tile)

    def outputs(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        if conv.value == self.graph.output:
            dst = self.slot(Kind.OUTPUT, None, conv.shape)
        else:
            dst = self.keep("value", conv.value, conv.shape)
        self._values[conv.value] = _Stored(dst)
        return (p.Output(dst),)

    def wants_sums(self, value: int) -> bool:
        return value in self._normed

    def sums_slot(self, conv: FusedConv, domain: p.Domain) -> int:
        sums = self.keep("sums", conv.value, (conv.shape[0] * self.tiles_in(conv.shape), 2, conv.shape[-1]))
        self._sums[conv.value] = sums
        return sums


class EditLowering(Lowering):
    """One edit: what `regions` says, on the tiles of `tiling`."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int, regions: Regions, tiling: Tiling):
        super().__init__(graph, fused, tile)
        self.regions = regions
        self.tiling = tiling
        self.forms = self._forms()
        self._normed = {v for op in fused if isinstance(op, FusedNorm) and op.value in regions.fresh for v in op.parts}

    def lower(self) -> Program:
        for op in self.fused:
            if self.regions.of[op.value] is Region.FIXED:
                if isinstance(op, FusedConv):
                    self._values[op.value] = _Stored(self.keep("value", op.value, op.shape))
            elif isinstance(op, FusedConv):
                self.conv(op)
                if op.value == self.graph.output and self.regions.of[op.value] is Region.TILES:
                    everywhere = p.Domain(*op.shape[:3], self.tile)
                    pasted = self.tensor(op.value, RAW, everywhere, halo=True)
                    self.emit(p.Paste(pasted, self.slot(Kind.OUTPUT, None, op.shape)), op.value)
            elif isinstance(op, FusedNorm):
                self.edit_norm(op)
            elif isinstance(op, FusedAttention):
                self.attention(op)
            else:
                self.timestep(op)
        return self.program

    def keep(self, what: str, value: int, shape: tuple[int, ...]) -> int:
        return self.slot(Kind.RECORDED, (what, value), shape)

    def _forms(self) -> dict[int, list[Form]]:
        """For each value in tiles, the forms its blocks are written in. Norms with fresh statistics read raw blocks."""
        forms: dict[int, dict[Form, None]] = {}
        for op in self.fused:
            if self.regions.of[op.value] is Region.FIXED:
                continue
            if isinstance(op, FusedConv):
                reads = [r for s in op.sources for r in s.view.parts]
                if op.residual is not None:
                    reads.append(Read(op.residual))
            elif isinstance(op, FusedAttention):
                reads = [Read(op.q), Read(op.k), Read(op.v)]
            else:
                continue
            for r in reads:
                form = RAW if r.norm in self.regions.fresh else (r.norm, r.first, r.act)
                forms.setdefault(r.value, {})[form] = None
        forms.setdefault(self.graph.output, {})[RAW] = None
        return {value: list(f) for value, f in forms.items()}

    def domain(self, conv: FusedConv) -> p.Domain:
        n, h, w, _ = conv.shape
        if self.regions.of[conv.value] is Region.DENSE:
            return p.Domain(n, h, w, self.tile)
        tiles = self.tiling.at((h, w))
        return p.Domain(n, h, w, self.tile, len(tiles), self.slot(Kind.ROWS, (h, w), tiles.rows.shape))

    def outputs(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        n, h, w, c = conv.shape
        if domain.list == NONE:
            output = conv.value == self.graph.output
            dst = self.slot(Kind.OUTPUT, None, conv.shape) if output else self.scratch(*conv.shape)
            self._values[conv.value] = _Stored(dst)
            return (p.Output(dst),)
        tiles = self.tiling.at((h, w))
        self.slot(Kind.GRID, (h, w), tiles.grid.shape)
        stored = self._values[conv.value] = _Stored(NONE, tiles)
        outputs = []
        for form in self.forms[conv.value]:
            stored.blocks[form] = self.scratch(len(tiles), self.tile, self.tile, c)
            outputs.append(self.output(stored.blocks[form], form))
        if len(outputs) > p.MAX_OUTPUTS:
            raise SigeError(
                f"{self.graph.nodes[conv.value].name} is read in {len(outputs)} forms; at most {p.MAX_OUTPUTS} are supported"
            )
        return tuple(outputs)

    def output(self, dst: int, form: Form) -> p.Output:
        """An epilogue's output in a form."""
        norm, first, act = form
        if norm is None:
            return p.Output(dst, act=ACTIVATIONS[act])
        scale, shift = (self.part(s, first) for s in self.affine(norm))
        return p.Output(dst, scale, shift, self.graph.nodes[norm].shape[-1], ACTIVATIONS[act])

    def wants_sums(self, value: int) -> bool:
        return value in self._normed

    def sums_slot(self, conv: FusedConv, domain: p.Domain) -> int:
        """Sums of what is computed; in tiles, pasted over the recorded sums, as an image of one pixel a tile."""
        n, h, w, c = conv.shape
        if domain.list == NONE:
            self._sums[conv.value] = self.scratch(n * self.tiles_in(conv.shape), 2, c)
            return self._sums[conv.value]
        return self.scratch(domain.tiles, 2, c)

    def conv(self, conv: FusedConv) -> None:
        super().conv(conv)
        op = self.program.ops[-1]
        assert isinstance(op, p.Conv)
        if op.sums != NONE and op.out.list != NONE:
            n, h, w, c = conv.shape
            gh, gw = -(-h // self.tile), -(-w // self.tile)
            recorded = self.keep("sums", conv.value, (n * gh * gw, 2, c))
            full = self.scratch(n * gh * gw, 2, c)
            sums = p.Tensor(n, gh, gw, 2 * c, 1, recorded, op.sums, self.slot(Kind.GRID, (h, w)))
            self.emit(p.Paste(sums, full), conv.value)
            self._sums[conv.value] = full

    def affine(self, norm: int) -> tuple[int, int]:
        if norm in self.regions.fresh and norm not in self._affine:
            n, _, _, c = self.graph.nodes[norm].shape
            self._affine[norm] = (self.scratch(n, c), self.scratch(n, c))
        return super().affine(norm)

    def edit_norm(self, norm: FusedNorm) -> None:
        """Fresh statistics, and with them the blocks of its values in the forms that wait for them."""
        if norm.value not in self.regions.fresh:
            return
        self.norm(norm, [self._sums[v] for v in norm.parts])
        first = 0
        for value in norm.parts:
            c = self.graph.nodes[value].shape[-1]
            self.normalise_blocks(norm, value, first, c)
            first += c

    def normalise_blocks(self, norm: FusedNorm, value: int, first: int, c: int) -> None:
        stored = self._values[value]
        acts = {
            r.act
            for op in self.fused
            if isinstance(op, FusedConv)
            for s in op.sources
            for r in s.view.parts
            if (r.norm, r.value, r.first) == (norm.value, value, first)
        }
        tiles = stored.tiles
        if tiles is None or not len(tiles):
            return
        images, counts = np.unique(tiles.rows[:, 0], return_counts=True)
        if len(images) != len(tiles.grid) or counts.min() != counts.max():
            raise SigeError("the images of a batch are edited in different numbers of tiles: edit them one at a time")
        rows = int(counts[0]) * self.tile**2
        outputs = []
        for act in acts:
            form: Form = (norm.value, first, act)
            stored.blocks[form] = self.scratch(len(stored.tiles), self.tile, self.tile, c)
            outputs.append(self.output(stored.blocks[form], form))
        self.emit(p.Pointwise(len(images), rows, c, stored.blocks[RAW], NONE, tuple(outputs)), norm.value)
