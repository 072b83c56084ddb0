"""What the lowerings of a dense pass and of an edit share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from sige_mlx.errors import SigeError
from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedConv, FusedDepthwise, FusedNorm, FusedTimestep, Read
from sige_mlx.graph.fusion.order import is_constant, is_written_modulated
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.builder import ProgramBuilder
from sige_mlx.graph.lowering.stored import RAW, Form, Stored
from sige_mlx.graph.program import NONE, Kind, Program
from sige_mlx.nn.ops import Shape

ACTIVATIONS = {None: 0, "silu": 1, "relu": 2, "leaky_relu": 3, "tanh": 4}
PAD_MODES = {"zero": 0, "reflect": 1}


class Lowering(ABC):
    """Lowers fused ops in order. `tile` is the side of a tile in pixels."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int):
        self.graph = graph
        self.fused = fused
        self.tile = tile
        self.build = ProgramBuilder()
        self._layers = {op.value: op.layer for op in fused if isinstance(op, fusion.Written) and op.layer}
        self._position = {op.value: i for i, op in enumerate(fused) if not isinstance(op, FusedNorm)}
        self._written = {op.value for op in fused if isinstance(op, fusion.Written)}
        self.values: dict[int, Stored] = {}
        self._joined = {v: place for op in fused if isinstance(op, FusedConv) for v, place in _places(op)}
        self._channels = {op.value: op.channels for op in fused if isinstance(op, FusedConv)}
        self._pasted: dict[int, int] = {}
        self.sums: dict[int, int] = {}
        """Slots of the complete per-tile sums of values that norms take statistics of."""
        for name, index in graph.inputs.items():
            slot = self.build.slot(Kind.INPUT, name, graph.nodes[index].shape)
            self.values[index] = Stored({RAW: slot})

    def lower(self) -> Program:
        """The program."""
        for op in self.fused:
            self.op(op)
        return self.build.program

    def op(self, op: Fused) -> None:
        """Lowers one op."""
        if isinstance(op, FusedConv):
            self.conv(op)
        elif isinstance(op, FusedDepthwise):
            self.depthwise(op)
        elif isinstance(op, FusedNorm):
            self.norm(op)
        elif isinstance(op, FusedAttention):
            self.attention(op)
        else:
            self.timestep(op)

    # ---- what differs

    @abstractmethod
    def keep(self, what: Any, value: int, shape: Shape) -> int:
        """The slot of an array that is recorded, or that a later edit may want recorded."""

    @abstractmethod
    def computes(self, op: Fused) -> bool:
        """Whether an op is run at all."""

    @abstractmethod
    def domain(self, value: int) -> p.Domain:
        """Which pixels of a value are computed."""

    @abstractmethod
    def new(self, form: Form, value: int) -> int:
        """The slot of a whole array that is about to be written."""

    @abstractmethod
    def store(self, op: fusion.Written, domain: p.Domain) -> tuple[p.Output, ...]:
        """What an op writes, and in `values` where it is."""

    @abstractmethod
    def statistics(self, norm: int) -> tuple[int, int]:
        """The slots of scale and shift of a norm that takes statistics."""

    @abstractmethod
    def partial_sums(self, op: fusion.Written, domain: p.Domain) -> int:
        """The slot for the sums of the tiles that an op computes, or NONE when nobody takes statistics of it."""

    @abstractmethod
    def together(self, value: int, mod: fusion.Modulation) -> bool:
        """Whether a value and its modulation are recomputed at the same pixels."""

    # ---- how values are read

    @cached_property
    def reads(self) -> dict[int, dict[Form, None]]:
        """The forms that each value is read in, in order."""
        forms: dict[int, dict[Form, None]] = {self.graph.output: {RAW: None}}
        for op in self.fused:
            for r in fusion.reads_of(op) if self.computes(op) else ():
                for value, form in self._forms(r):
                    forms.setdefault(value, {})[form] = None
        return forms

    def _forms(self, read: Read) -> Iterator[tuple[int, Form]]:
        form = Form.of(read)
        yield read.value, RAW if read.mod and not self.ready(read) else form
        if read.mod:
            yield read.mod.gamma, RAW
            yield read.mod.beta, RAW

    def ready(self, read: Read) -> bool:
        """Whether a modulated value is written so, by its producer, rather than modulated when it is read."""
        if not read.mod or read.value not in self._written:
            return False
        first = self._position[read.value]
        known = all(self._position.get(v, -1) < first for v in (read.mod.gamma, read.mod.beta))
        constant = is_written_modulated(self.graph, read.norm, read.resample)
        return constant and known and self.together(read.value, read.mod)

    def kept_forms(self, value: int) -> list[Form]:
        """The forms of whole arrays that a value is read from."""
        return list(dict.fromkeys(f.kept for f in self.reads.get(value, {RAW: None})))

    def keep_form(self, form: Form, value: int) -> int:
        """The slot of a value's whole array."""
        return self.keep("value" if form == RAW else form, value, self.shape(value))

    def shape(self, value: int) -> Shape:
        """Of a value as it is stored, which is with all that was computed with it."""
        shape = self.graph.nodes[value].shape
        return (*shape[:-1], self._channels.get(value, shape[-1]))

    def tensor(self, value: int, form: Form, domain: p.Domain, halo: bool) -> p.Tensor:
        """A stored value as an op that computes `domain` reads it; with `halo`, also beyond its own pixels."""
        n, h, w, c = self.shape(value)
        stored = self.values[value]
        if stored.plane is None:
            return p.Tensor(n, h, w, c, self.tile, stored.whole[form.kept])
        # An op over the same tiles that reads no halo never reads the base, so the base need not be recorded for it.
        within = domain.list != NONE and (domain.h, domain.w) == (h, w) and not halo
        base = NONE if within else self.keep_form(form.kept, value)
        return p.Tensor(n, h, w, c, self.tile, base, stored.blocks[form], self.build.slot(Kind.GRID, (h, w)))

    def modulation(self, mod: fusion.Modulation, domain: p.Domain, halo: bool) -> p.Modulation:
        """A modulation as an op that computes `domain` reads it."""
        gamma, beta = (self.tensor(v, RAW, domain, halo) for v in (mod.gamma, mod.beta))
        return p.Modulation(gamma, beta, mod.gamma_first, mod.beta_first)

    def affine(self, form: Form) -> tuple[int, int, int]:
        """A form's scale and shift, and the floats from one image's to the next."""
        if form.norm is None:
            return NONE, NONE, 0
        norm = self.graph.nodes[form.norm]
        c = norm.shape[-1]
        if is_constant(norm):
            names = tuple(sorted(norm.params.items()))
            scale, shift = (self.build.slot(Kind.FOLDED, (what, norm.op, names), (c,)) for what in ("scale", "shift"))
        else:
            scale, shift = self.statistics(form.norm)
        stride = 0 if is_constant(norm) else c
        return self.build.part(scale, form.first), self.build.part(shift, form.first), stride

    def source(self, source: fusion.Source, read: Read, domain: p.Domain) -> p.Source:
        """One of the values that a convolution reads."""
        _, kh, kw, _ = source.weight_shape
        (top, _), (left, _) = source.padding
        reach = kh > 1 or kw > 1 or source.stride > 1
        halo = reach or read.resample != 0 or source.transposed
        form = Form.of(read)
        ready, shape = self.ready(read), (kh, kw, source.stride, top, left, PAD_MODES[source.pad_mode])
        if ready:
            resample = read.resample
            return p.Source(self.tensor(read.value, form, domain, halo), *shape, resample)
        scale, shift, stride = self.affine(form)
        return p.Source(
            self.tensor(read.value, RAW if read.mod else form, domain, halo),
            *shape,
            resample=1 if source.transposed else read.resample,
            zeros=int(source.transposed),
            scale=scale,
            shift=shift,
            stride_affine=stride,
            act=ACTIVATIONS[form.act],
            mod=self.modulation(read.mod, domain, reach) if read.mod else None,
        )

    def residual(self, op: fusion.Written, domain: p.Domain) -> tuple[p.Tensor | None, int]:
        """What an epilogue adds, and how it is resampled."""
        if op.residual is None:
            return None, 0
        return self.tensor(op.residual.value, RAW, domain, halo=False), op.residual.resample

    def new_whole(self, value: int, forms: Iterable[Form]) -> dict[Form, int]:
        """Whole arrays of a value in some forms; the output's own is the caller's."""
        made = {}
        for form in dict.fromkeys(forms):
            output = value == self.graph.output and form == RAW
            made[form] = self.build.slot(Kind.OUTPUT, None, self.shape(value)) if output else self.new(form, value)
        self.values[value] = Stored(made)
        return made

    def outputs(self, op: fusion.Written, arrays: dict[Form, int], domain: p.Domain) -> tuple[p.Output, ...]:
        """What an op writes."""
        if len(arrays) > p.MAX_OUTPUTS:
            raise SigeError(f"{self.name(op.value)} is read in {len(arrays)} forms; {p.MAX_OUTPUTS} is the most")
        return tuple(self.output(dst, form, domain, op.act) for form, dst in arrays.items())

    def output(self, dst: int, form: Form, domain: p.Domain, act: str | None = None) -> p.Output:
        """A form as an epilogue writes it; `act` is the op's own activation."""
        scale, shift, stride = self.affine(form)
        mod = self.modulation(form.mod, domain, halo=False) if form.mod else None
        return p.Output(dst, scale, shift, stride, ACTIVATIONS[form.act or act], mod)

    # ---- ops

    def conv(self, conv: FusedConv) -> None:
        domain = self.domain(conv.value)
        sources = tuple(self.source(s, read, domain) for s in conv.sources for read in s.reads)
        if len(sources) > p.MAX_SOURCES:
            raise SigeError(f"{conv.layer} reads {len(sources)} values at once; {p.MAX_SOURCES} is the most")
        c, biases = conv.channels, tuple(part.biases for part in conv.parts)
        residual, resample = self.residual(conv, domain)
        op = p.Conv(
            out=domain,
            c_out=c,
            weight=self.build.slot(Kind.WEIGHT, conv.value),
            bias=self.build.slot(Kind.BIAS, biases, (c,)) if conv.biases else NONE,
            vec=NONE if conv.vec is None else self.whole(conv.vec),
            vec_stride=c,
            sums=self.partial_sums(conv, domain),
            residual=residual,
            residual_resample=resample,
            source=sources,
            output=self.store(conv, domain),
        )
        self.written(conv, op)

    def depthwise(self, conv: FusedDepthwise) -> None:
        domain = self.domain(conv.value)
        c = conv.shape[-1]
        residual, resample = self.residual(conv, domain)
        (read,) = conv.source.reads
        op = p.Depthwise(
            out=domain,
            c=c,
            weight=NONE if conv.source.weight is None else self.build.slot(Kind.WEIGHT, conv.value),
            bias=NONE if conv.bias is None else self.build.slot(Kind.BIAS, ((conv.bias,),), (c,)),
            sums=self.partial_sums(conv, domain),
            residual=residual,
            residual_resample=resample,
            source=self.source(conv.source, read, domain),
            output=self.store(conv, domain),
        )
        self.written(conv, op)

    def written(self, op: fusion.Written, lowered: p.Conv | p.Depthwise) -> None:
        """Appends an op that writes a value."""
        self.build.emit(lowered, self.name(op.value))

    def norm(self, norm: FusedNorm) -> None:
        n, h, w, _ = self.graph.nodes[norm.parts[0]].shape
        c = self.graph.nodes[norm.value].shape[-1]
        scale, shift = self.statistics(norm.value)
        op = p.Norm(
            n=n,
            pixels=h * w,
            groups=norm.groups,
            sums=tuple(self.sums[v] for v in norm.parts),
            tiles=(self.tiles_in((h, w)),) * len(norm.parts),
            c=tuple(self.graph.nodes[v].shape[-1] for v in norm.parts),
            weight=NONE if norm.weight is None else self.build.slot(Kind.PARAM, norm.weight, (c,)),
            bias=NONE if norm.bias is None else self.build.slot(Kind.PARAM, norm.bias, (c,)),
            mod=NONE if norm.film is None else self.whole(norm.film),
            scale=scale,
            shift=shift,
            eps=norm.eps,
        )
        self.build.emit(op, self.name(norm.norm))

    def attention(self, op: FusedAttention) -> None:
        n, h, w, _ = op.shape
        q, k, v = (self.tokens(x) for x in (op.q, op.k, op.v))
        dst = self.new_whole(op.value, [RAW])[RAW]
        self.attend(op, p.Domain(n, h, w, self.tile), (q, k, v), dst)

    def attend(self, op: FusedAttention, domain: p.Domain, tokens: Sequence[tuple[int, int]], dst: int) -> None:
        """`tokens` are queries, keys and values: their slots, and the floats from one to the next."""
        _, h, w, c = op.shape
        d = c // op.heads
        (q, q_stride), (k, k_stride), (v, v_stride) = tokens
        attention = p.Attention(domain, h * w, op.heads, d, q, k, v, dst, q_stride, k_stride, v_stride, scale=d**-0.5)
        self.build.emit(attention, self.name(op.value))

    def tokens(self, value: int) -> tuple[int, int]:
        """The slot of a value's pixels one after the other, and the floats from one to the next."""
        stored, first = self._joined.get(value, (value, 0))
        return self.build.part(self.whole(stored), first), self.shape(stored)[-1]

    def whole(self, value: int) -> int:
        """The slot of a value as one array; pasted once, if it must be."""
        stored = self.values[value]
        if stored.plane is None:
            return stored.whole[RAW]
        if value not in self._pasted:
            n, h, w, c = self.shape(value)
            self._pasted[value] = self.build.scratch(n, h, w, c)
            pixels = self.tensor(value, RAW, p.Domain(n, h, w, self.tile), halo=True)
            self.build.emit(p.Paste(pixels, self._pasted[value]), self.name(value))
        return self._pasted[value]

    def timestep(self, op: FusedTimestep) -> None:
        n, _, _, dim = op.shape
        out = self.new_whole(op.value, [RAW])[RAW]
        t = self.values[self.graph.inputs[op.input]].whole[RAW]
        self.build.emit(p.Timestep(n, dim, t, out, int(op.log_snr), op.max_period), self.name(op.value))

    def tiles_in(self, size: tuple[int, int]) -> int:
        """Tiles of a plane, active or not."""
        return -(-size[0] // self.tile) * -(-size[1] // self.tile)

    def name(self, value: int) -> str:
        """The layer that a value comes from."""
        return self._layers.get(value, self.graph.nodes[value].name)


def _places(conv: FusedConv) -> Iterator[tuple[int, tuple[int, int]]]:
    """For each part of a convolution, the value that it is stored with and its first channel there."""
    first = 0
    for part in conv.parts:
        yield part.value, (conv.value, first)
        first += part.shape[-1]
