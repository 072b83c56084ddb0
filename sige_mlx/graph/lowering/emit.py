"""In the last pass every group becomes ops over slots."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sige_mlx.errors import SigeError
from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedConv, FusedEmbedding, FusedNorm, Groups
from sige_mlx.graph.fusion.order import is_constant
from sige_mlx.graph.fusion.views import unsupported
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.forms import RAW, Form, Forms
from sige_mlx.graph.lowering.statistics import Statistics
from sige_mlx.graph.lowering.storage import Storage, Stored, name_of
from sige_mlx.graph.program import NONE, Kind, Program, Slot
from sige_mlx.graph.regions import Region, Regions
from sige_mlx.nn.ops import ACTIVATIONS, PAD_MODES, Activation


def lower(
    graph: Graph,
    groups: Groups,
    regions: Regions,
    tile: int,
    keeps: Iterable[Any] = (),
    stores: Iterable[Any] = (),
    changes: Collection[Any] = (),
    planes: Graph | None = None,
) -> Program:
    """Returns the program that computes every group in its region, in tiles of `tile` pixels a side. It records arrays
    whose keys are in `keeps`, and copies those in `stores` into the record, in tiles where they are planes. For those
    in `changes` it tells by how much that changes their sums.

    A graph may be that of a window of larger planes, whose graph `planes` is, node by node. Then its norms take
    statistics of these planes, recorded ones, which follow what the window's interior changes: arrays of the record say
    which tiles of the window that are, and what their sums were.

    Raises `SigeError` for a node that is `Unfused`, or read in too many forms."""
    if groups.unfused:
        raise SigeError(groups.unfused.why)
    emitting = _Emitting(graph, groups, regions, Storage(graph, groups, tile, keeps, stores), changes, planes)
    for op in groups.ops:
        emitting.op(op)
    return emitting.build.program


class _Emitting:
    def __init__(
        self,
        graph: Graph,
        groups: Groups,
        regions: Regions,
        storage: Storage,
        changes: Collection[Any],
        planes: Graph | None,
    ):
        self.graph = graph
        self.of = regions.of
        self.forms = Forms(graph, groups, regions)
        self.storage = storage
        self.changes = changes
        self.build = storage.build
        self.layers = {op.value: op.layer for op in groups.ops if isinstance(op, FusedConv) and op.layer}
        self.joined = {v: place for op in groups.ops if isinstance(op, FusedConv) for v, place in _places(op)}
        self.statistics = Statistics(groups, regions, storage, planes, self.name)
        self.pasted: dict[int, Slot] = {}
        self.later: list[Form] = []
        """Forms of the blocks of a value that do not fit among the outputs of the convolution that computes it."""
        for name, index in graph.inputs.items():
            storage.values[index] = Stored({RAW: self.build.slot(Kind.INPUT, name, graph.nodes[index].shape)})

    def op(self, op: Fused) -> None:
        if isinstance(op, FusedEmbedding):
            self.storage.values[op.value] = Stored({RAW: self.build.slot(Kind.INPUT, op.of, op.shape)})
        elif not self.forms.computes(op):
            if not isinstance(op, FusedNorm):
                kept = {form: self.storage.recorded_form(form, op.value) for form in self.forms.kept(op.value)}
                self.storage.values[op.value] = Stored(kept)
        elif isinstance(op, FusedConv):
            self.conv(op)
        elif isinstance(op, FusedNorm):
            self.norm(op)
        elif isinstance(op, FusedAttention):
            self.attention(op)

    # ---- convolutions

    def conv(self, conv: FusedConv) -> None:
        """Appends the op that writes a value. An output in tiles is then pasted over the recorded one."""
        domain, name = self.domain(conv.value), self.name(conv.value)
        sources = tuple(self.source(term, read, domain) for term in conv.terms for read in term.reads)
        c, biases = conv.channels, tuple(part.biases for part in conv.parts)
        weight = self.build.slot(Kind.WEIGHT, conv.value) if conv.weights(0) else NONE
        bias = self.build.slot(Kind.BIAS, biases, (c,)) if conv.biases else NONE
        vec = NONE if conv.vec is None else self.whole(conv.vec)
        sums = self.statistics.new_sums(conv, domain)
        residual, resample = self.residual(conv, domain)
        outputs = self.store(conv, domain)
        if conv.by_channel:
            op: p.ProgramOp = p.Depthwise(domain, c, weight, bias, sums, residual, resample, sources[0], outputs)
        else:
            op = p.Conv(domain, c, weight, bias, vec, c, sums, residual, resample, sources, outputs)
        self.build.emit(op, name)
        self.rewrite_blocks(conv.value, self.later, conv.value)
        if conv.value in self.statistics.followed:
            self.statistics.recorded_sums(conv.value)  # before other tiles take their place
        self.record(conv.value, domain)
        if conv.value == self.graph.output and domain.list != NONE:
            pixels = self.storage.tensor(conv.value, RAW, self.storage.image(conv.value), halo=True)
            self.build.emit(p.Paste(pixels, self.build.slot(Kind.OUTPUT, None, conv.shape)), name)

    def domain(self, value: int) -> p.Domain:
        """Returns the pixels of a value that are computed."""
        return self.storage.active(value) if self.of[value] is Region.TILES else self.storage.image(value)

    def source(self, term: fusion.Term, read: fusion.Read, domain: p.Domain) -> p.Source:
        """Returns one of the values that a convolution reads, as an op's source."""
        _, kh, kw, _ = term.weight_shape
        (top, _), (left, _) = term.padding
        reach = kh > 1 or kw > 1 or term.stride > 1
        halo = reach or read.resample != 0 or term.transposed
        resample, zeros = (1, 1) if term.transposed else (read.resample, 0)
        form = Form.of(read)
        done = RAW if self.forms.ready(read) else form  # by the op, as it reads
        x = self.storage.tensor(read.value, RAW if done.mod else form, domain, halo)
        mod = self.storage.modulation(done.mod, domain, reach) if done.mod else None
        shape = kh, kw, term.stride, top, left, PAD_MODES.index(term.pad_mode), resample, zeros
        return p.Source(x, *shape, *self.affine(done), ACTIVATIONS.index(done.act), mod)

    def residual(self, op: FusedConv, domain: p.Domain) -> tuple[p.Tensor | None, int]:
        """Returns what an epilogue adds, and how it is resampled."""
        if op.residual is None:
            return None, 0
        return self.storage.tensor(op.residual.value, RAW, domain, halo=False), op.residual.resample

    # ---- what convolutions write

    def store(self, op: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        """Returns what an op writes, and notes in `storage.values` where it is."""
        self.later = []
        if domain.list == NONE:
            forms = [*self.forms.kept(op.value), *self.storage.kept_forms(op.value)]
            forms += self.storage.stored_forms(op.value)
            arrays = self.storage.new_whole(op.value, forms or [RAW])
        else:
            self.storage.values[op.value] = Stored(plane=(domain.h, domain.w))
            # Fresh statistics are known only later: until then blocks are raw, and `norm` writes them again.
            raw_first = [RAW if f.norm in self.statistics.fresh else f for f in self.forms.of(op.value)]
            recorded = self.storage.stored_forms(op.value)
            forms = list(dict.fromkeys([*recorded, *raw_first]))
            if RAW in recorded:  # which is one more than an edit writes
                forms, self.later = forms[: p.MAX_OUTPUTS], forms[p.MAX_OUTPUTS :]
            arrays = self.storage.new_blocks(op.value, forms)
        return self.outputs(op.value, arrays, domain, op.act)

    def outputs(
        self, value: int, arrays: Mapping[Form, Slot], domain: p.Domain, act: Activation | None = None
    ) -> tuple[p.Output, ...]:
        """Returns a value's forms as an epilogue writes them; `act` is the op's own activation."""
        if len(arrays) > p.MAX_OUTPUTS:
            raise unsupported(self.graph.nodes[value], f"is read in more than {p.MAX_OUTPUTS} forms")
        made = []
        for form, dst in arrays.items():
            mod = self.storage.modulation(form.mod, domain, halo=False) if form.mod else None
            made.append(p.Output(dst, *self.affine(form), ACTIVATIONS.index(form.act or act), mod))
        return tuple(made)

    def affine(self, form: Form) -> tuple[Slot, Slot, int]:
        """Returns a form's scale and shift, and how many floats lie from one image's to the next."""
        if form.norm is None:
            return NONE, NONE, 0
        norm = self.graph.nodes[form.norm]
        c = norm.shape[-1]
        if is_constant(norm):
            names = tuple(sorted(norm.params.items()))
            scale, shift = (self.build.slot(Kind.FOLDED, (what, norm.op, names), (c,)) for what in ("scale", "shift"))
        else:
            scale, shift = self.statistics.affine(form.norm)
        stride = 0 if is_constant(norm) else c
        return self.build.part(scale, form.first), self.build.part(shift, form.first), stride

    def record(self, value: int, domain: p.Domain) -> None:
        """Copies what an op has just written into the record. Whoever reads it later finds tiles in blocks."""
        name, c = self.name(value), self.storage.shape(value)[-1]
        for form in self.storage.stored_forms(value):
            src, dst = self.storage.written(form, value), self.storage.recorded_form(form, value)
            change = self.change(name_of(form), value, c)
            self.build.emit(p.Store(domain, c, src, dst, 1, change, int(change != NONE)), name)
        if self.storage.stores("sums", value):
            gh, gw = -(-domain.h // domain.tile), -(-domain.w // domain.tile)
            of_tiles = p.Domain(domain.n, gh, gw, 1, domain.list)
            dst = self.storage.recorded("sums", value, (domain.n * gh * gw, 2, c))
            change = self.change("sums", value, c)
            self.build.emit(p.Store(of_tiles, 2 * c, self.statistics.sums[value], dst, 0, change), name)

    def change(self, what: Any, value: int, c: int) -> Slot:
        """Returns the slot for how the sums of a recorded array change, or NONE when nobody asks."""
        n, key = self.graph.nodes[value].shape[0], (what, value)
        return self.build.slot(Kind.CHANGE, key, (n, 2, c)) if key in self.changes else NONE

    # ---- norms

    def norm(self, norm: FusedNorm) -> None:
        """Appends the op that takes statistics, then those that write the blocks that waited for them."""
        self.statistics.take(norm, NONE if norm.film is None else self.whole(norm.film))
        for value in norm.parts:
            self.rewrite_blocks(value, [f for f in self.forms.of(value) if f.norm == norm.value], norm.value)

    def rewrite_blocks(self, value: int, forms: Sequence[Form], node: int) -> None:
        """Writes raw blocks, if the value has blocks, again in other forms."""
        if not forms or self.storage.values[value].plane is None:
            return
        c, domain = self.graph.nodes[value].shape[-1], self.storage.active(value)
        source = p.Source(self.storage.tensor(value, RAW, domain, halo=False), 1, 1, 1, 0, 0)
        outputs = self.outputs(value, self.storage.new_blocks(value, forms), domain)
        self.build.emit(p.Depthwise(domain, c, NONE, NONE, NONE, None, 0, source, outputs), self.name(node))

    # ---- attention

    def attention(self, op: FusedAttention) -> None:
        """Queries may be those of tiles only; they see the keys and values of all pixels."""
        domain = self.domain(op.value)
        if domain.list == NONE:
            q, dst = self.tokens(op.q), self.storage.new_whole(op.value, [RAW])[RAW]
        else:
            stored, first = self.joined.get(op.q, (op.q, 0))
            blocks = self.storage.tensor(stored, RAW, domain, halo=False).blocks
            q = self.build.part(blocks, first), self.storage.shape(stored)[-1]
            self.storage.values[op.value] = Stored(plane=(domain.h, domain.w))
            dst = self.storage.new_blocks(op.value, [RAW])[RAW]
        (k, k_stride), (v, v_stride) = self.tokens(op.k), self.tokens(op.v)
        (_, h, w, _), c = self.graph.nodes[op.k].shape, op.shape[-1]
        d = c // op.heads
        attention = p.Attention(domain, h * w, op.heads, d, q[0], k, v, dst, q[1], k_stride, v_stride, scale=d**-0.5)
        self.build.emit(attention, self.name(op.value))
        self.rewrite_blocks(op.value, [f for f in self.forms.of(op.value) if f != RAW], op.value)
        self.record(op.value, domain)

    def tokens(self, value: int) -> tuple[Slot, int]:
        """Returns the slot of a value's pixels, and how many floats lie from one to the next."""
        stored, first = self.joined.get(value, (value, 0))
        return self.build.part(self.whole(stored), first), self.storage.shape(stored)[-1]

    def whole(self, value: int) -> Slot:
        """Returns the slot of a value as one array. A value in tiles is pasted once."""
        stored = self.storage.values[value]
        if stored.plane is None:
            return stored.whole[RAW]
        if value not in self.pasted:
            self.pasted[value] = self.build.scratch(*self.storage.shape(value))
            pixels = self.storage.tensor(value, RAW, self.storage.image(value), halo=True)
            self.build.emit(p.Paste(pixels, self.pasted[value]), self.name(value))
        return self.pasted[value]

    def name(self, value: int) -> str:
        """Returns the name of the layer that a value comes from."""
        return self.layers.get(value, self.graph.nodes[value].name)


def _places(conv: FusedConv) -> Iterable[tuple[int, tuple[int, int]]]:
    """Yields for each part of a convolution the value that it is stored with, and its first channel there."""
    first = 0
    for part in conv.parts:
        yield part.value, (conv.value, first)
        first += part.shape[-1]
