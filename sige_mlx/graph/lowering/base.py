"""What the lowerings of a dense pass and of an edit share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sige_mlx.errors import SigeError
from sige_mlx.graph import fusion
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Fused, FusedAttention, FusedConv, FusedNorm, FusedTimestep, Read
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.builder import ProgramBuilder
from sige_mlx.graph.program import NONE, Kind, Program
from sige_mlx.graph.tiling import Size
from sige_mlx.nn.ops import Shape

ACTIVATIONS = {None: 0, "silu": 1}


@dataclass(frozen=True)
class Form:
    """How a value is read, and so how its blocks are written: normalised as channels `first` … of `norm`, activated."""

    norm: int | None = None
    first: int = 0
    act: str | None = None

    @staticmethod
    def of(read: Read) -> "Form":
        return Form(read.norm, read.first, read.act)


RAW = Form()


@dataclass
class Stored:
    """Where a value is: a base, and blocks by form when only tiles of `plane` were recomputed."""

    base: int
    plane: Size | None = None
    blocks: dict[Form, int] = field(default_factory=dict)


class Lowering(ABC):
    """Lowers fused ops in order. `tile` is the side of a tile in pixels."""

    def __init__(self, graph: Graph, fused: Sequence[Fused], tile: int):
        self.graph = graph
        self.fused = fused
        self.tile = tile
        self.build = ProgramBuilder()
        self._layers = {op.value: op.layer for op in fused if isinstance(op, FusedConv)}
        self.values: dict[int, Stored] = {}
        self.sums: dict[int, int] = {}
        """Slots of the complete per-tile sums of values that norms take statistics of."""
        for name, index in graph.inputs.items():
            self.values[index] = Stored(self.build.slot(Kind.INPUT, name, graph.nodes[index].shape))

    def lower(self) -> Program:
        """The program."""
        for op in self.fused:
            if isinstance(op, FusedConv):
                self.conv(op)
            elif isinstance(op, FusedNorm):
                self.norm(op)
            elif isinstance(op, FusedAttention):
                self.attention(op)
            else:
                self.timestep(op)
        return self.build.program

    @abstractmethod
    def keep(self, what: str, value: int, shape: Shape) -> int:
        """The slot of an array that is recorded, or that a later edit may want recorded."""

    @abstractmethod
    def domain(self, conv: FusedConv) -> p.Domain:
        """Which pixels of a convolution are computed."""

    @abstractmethod
    def store(self, conv: FusedConv, domain: p.Domain) -> tuple[p.Output, ...]:
        """What a convolution writes, and in `values` where it is."""

    @abstractmethod
    def affine(self, norm: int) -> tuple[int, int]:
        """The slots of a norm's scale and shift."""

    @abstractmethod
    def partial_sums(self, conv: FusedConv, domain: p.Domain) -> int:
        """The slot for the sums of the tiles a convolution computes, or NONE when nobody takes statistics of it."""

    def conv(self, conv: FusedConv) -> None:
        domain = self.domain(conv)
        sources = [s for source in conv.sources for s in self.sources(source, domain)]
        if len(sources) > p.MAX_SOURCES:
            raise SigeError(f"{conv.layer} reads {len(sources)} values at once; {p.MAX_SOURCES} is the most")
        c = conv.shape[-1]
        op = p.Conv(
            out=domain,
            c_out=c,
            weight=self.build.slot(Kind.WEIGHT, conv.value),
            bias=self.build.slot(Kind.BIAS, conv.biases, (c,)) if conv.biases else NONE,
            vec=NONE if conv.vec is None else self.whole(conv.vec),
            vec_stride=c,
            sums=self.partial_sums(conv, domain),
            residual=None if conv.residual is None else self.tensor(conv.residual, RAW, domain, halo=False),
            residual_resample=0,
            source=tuple(sources),
            output=self.store(conv, domain),
        )
        self.build.emit(op, self.name(conv.value))

    def sources(self, source: fusion.Source, domain: p.Domain) -> Iterator[p.Source]:
        """One program source per concatenated value."""
        _, kh, kw, _ = source.weight_shape
        (top, _), (left, _) = source.padding
        halo = kh > 1 or kw > 1 or source.stride > 1 or source.view.upsample > 0
        for read in source.view.parts:
            form = Form.of(read)
            scale, shift, stride = self.affine_part(form)
            yield p.Source(
                x=self.tensor(read.value, form, domain, halo),
                kh=kh,
                kw=kw,
                stride=source.stride,
                pad_top=top,
                pad_left=left,
                resample=source.view.upsample,
                scale=scale,
                shift=shift,
                stride_affine=stride,
                act=ACTIVATIONS[form.act],
            )

    def affine_part(self, form: Form) -> tuple[int, int, int]:
        """A form's scale and shift, and the floats from one image's to the next."""
        if form.norm is None:
            return NONE, NONE, 0
        scale, shift = self.affine(form.norm)
        stride = self.graph.nodes[form.norm].shape[-1]
        return self.build.part(scale, form.first), self.build.part(shift, form.first), stride

    def tensor(self, value: int, form: Form, domain: p.Domain, halo: bool) -> p.Tensor:
        """A stored value as an op that computes `domain` reads it; with `halo`, also beyond its own pixels."""
        n, h, w, c = self.graph.nodes[value].shape
        stored = self.values[value]
        if stored.plane is None:
            return p.Tensor(n, h, w, c, self.tile, stored.base)
        # An op over the same tiles that reads no halo never reads the base, so the base need not be recorded for it.
        within = domain.list != NONE and (domain.h, domain.w) == (h, w) and not halo
        base = NONE if within else self.keep("value", value, (n, h, w, c))
        return p.Tensor(n, h, w, c, self.tile, base, stored.blocks[form], self.build.slot(Kind.GRID, (h, w)))

    def norm(self, norm: FusedNorm) -> None:
        n, h, w, c = self.graph.nodes[norm.value].shape
        scale, shift = self.affine(norm.value)
        op = p.Norm(
            n=n,
            pixels=h * w,
            groups=norm.groups,
            sums=tuple(self.sums[v] for v in norm.parts),
            tiles=(self.tiles_in((h, w)),) * len(norm.parts),
            c=tuple(self.graph.nodes[v].shape[-1] for v in norm.parts),
            weight=self.build.slot(Kind.PARAM, norm.weight, (c,)),
            bias=self.build.slot(Kind.PARAM, norm.bias, (c,)),
            mod=NONE,
            scale=scale,
            shift=shift,
            eps=norm.eps,
        )
        self.build.emit(op, self.name(norm.value))

    def attention(self, op: FusedAttention) -> None:
        n, h, w, c = op.shape
        q, k, v = (self.whole(x) for x in (op.q, op.k, op.v))
        out = self.build.scratch(n, h, w, c)
        self.values[op.value] = Stored(out)
        d = c // op.heads
        domain = p.Domain(n, h, w, self.tile)
        self.build.emit(p.Attention(domain, h * w, op.heads, d, q, k, v, out, c, c, c, d**-0.5), self.name(op.value))

    def whole(self, value: int) -> int:
        """The slot of a value as one array."""
        stored = self.values[value]
        if stored.plane is None:
            return stored.base
        n, h, w, c = self.graph.nodes[value].shape
        pasted = self.build.scratch(n, h, w, c)
        everywhere = p.Domain(n, h, w, self.tile)
        self.build.emit(p.Paste(self.tensor(value, RAW, everywhere, halo=True), pasted), self.name(value))
        return pasted

    def timestep(self, op: FusedTimestep) -> None:
        n, _, _, dim = op.shape
        out = self.keep("value", op.value, op.shape)
        t = self.values[self.graph.inputs[op.input]].base
        self.values[op.value] = Stored(out)
        self.build.emit(p.Timestep(n, dim, t, out, 0, op.max_period), self.name(op.value))

    def tiles_in(self, size: tuple[int, int]) -> int:
        """Tiles of a plane, active or not."""
        return -(-size[0] // self.tile) * -(-size[1] // self.tile)

    def name(self, value: int) -> str:
        """The layer that a value comes from."""
        return self._layers.get(value, self.graph.nodes[value].name)
