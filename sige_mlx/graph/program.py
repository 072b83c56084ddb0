"""A program is what an executor runs. Its ops have the fields of the structs of `cpu/sige_cpu.h`, which explains them.

Ops name their arrays by `Slot`. `Program.buffers` says what belongs there, and the executor puts it there. A program
serves every edit under one policy: it does not know how many tiles an edit has. Its ops know what they cost.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from sige_mlx.graph.tiling import Size


class Slot(int):
    """An op finds an array by this index into `Program.buffers`."""


NONE = Slot(-1)
"""This slot is not there."""

# These are the limits of an op, as in cpu/sige_cpu.h.
MAX_SOURCES = 4
MAX_OUTPUTS = 4
MAX_KERNEL = 7
MAX_STRIDE = 8
MAX_HEADS = 1024

Counts = Mapping[Size, int]
"""It counts the active tiles by the size of a plane."""


class Work(NamedTuple):
    """An op takes `macs` multiply-accumulates and moves `floats` floats, of which `weights` are weights
    (`graph/cost.py`). It reads and writes `channels`, in so many `tiles` of `plane`, or without in all of it; a norm
    writes no plane."""

    macs: int
    floats: int
    channels: tuple[int, int]
    plane: Size | None
    tiles: int | None
    weights: int = 0


class Kind(Enum):
    """The kind says what a slot holds; `key` names it within its kind."""

    INPUT = "input"  # key: the name of the graph's input, or the `Embedding` that the host makes of one
    OUTPUT = "output"  # the result
    WEIGHT = "weight"  # key: the value of the fused convolution whose packed weights these are
    BIAS = "bias"  # key: for each part of the convolution, the names of the parameters that are added up
    PARAM = "param"  # key: the parameter's name
    FOLDED = "folded"  # key: ("scale" or "shift", BatchNorm, its parameters' names); the norm is always the same
    RECORDED = "recorded"  # key: (what, value); kept from the original for the edits; `what` may be of any type
    CHANGE = "change"  # key: that of a recorded array; float64, how a commit changes the sums of what it holds
    SCRATCH = "scratch"  # key: a number; the array lives from the first op that names it to the last
    ROWS = "rows"  # key: the size of the plane whose active tiles it lists, int32
    GRID = "grid"  # key: the size of the plane; int32, the position of each tile in the list
    PART = "part"  # key: (slot, floats); the array of another slot from this offset on


@dataclass(frozen=True)
class Buffer:
    """It describes the array that belongs into a slot."""

    kind: Kind
    key: Any
    shape: tuple[int, ...]
    """A shape that only the owner of the array knows is ()."""
    tiles: Size | None = None
    """There is such an array for each active tile of this plane; with None there is one."""

    @property
    def dtype(self) -> str:
        """The name of NumPy's type of the values."""
        what = self.key[0] if self.kind is Kind.RECORDED else None
        if self.kind in (Kind.ROWS, Kind.GRID) or what == "interior":
            return "int32"
        double = self.kind is Kind.CHANGE or what in ("moments", "moments before", "gain", "small")
        return "float64" if double else "float32"

    @property
    def nbytes(self) -> int:
        """The array, or that of one tile, takes so many bytes."""
        return (8 if self.dtype == "float64" else 4) * math.prod(self.shape)


@dataclass(frozen=True)
class Tensor:
    n: int
    h: int
    w: int
    c: int
    tile: int
    base: Slot
    blocks: Slot = NONE
    grid: Slot = NONE
    stored: int = 0


@dataclass(frozen=True)
class Domain:
    n: int
    h: int
    w: int
    tile: int
    list: Slot = NONE

    def tiles(self, counts: Counts) -> int:
        """Returns how many tiles are computed. A whole image has all of them, the partial ones too."""
        if self.list == NONE:
            return self.n * -(-self.h // self.tile) * -(-self.w // self.tile)
        return counts[self.h, self.w]

    def pixels(self, counts: Counts) -> int:
        """Returns how many pixels are computed. In a list, partial tiles count as whole ones."""
        return self.n * self.h * self.w if self.list == NONE else self.tiles(counts) * self.tile**2

    def extent(self, counts: Counts) -> tuple[Size, int | None]:
        """Returns the plane and the tiles of `Work`."""
        return (self.h, self.w), None if self.list == NONE else self.tiles(counts)


@dataclass(frozen=True)
class Modulation:
    gamma: Tensor
    beta: Tensor
    gamma_first: int
    beta_first: int


@dataclass(frozen=True)
class Output:
    dst: Slot
    scale: Slot = NONE
    shift: Slot = NONE
    stride: int = 0
    act: int = 0
    mod: Modulation | None = None


@dataclass(frozen=True)
class Source:
    x: Tensor
    kh: int
    kw: int
    stride: int
    pad_top: int
    pad_left: int
    pad_mode: int = 0
    resample: int = 0
    zeros: int = 0
    scale: Slot = NONE
    shift: Slot = NONE
    stride_affine: int = 0
    act: int = 0
    mod: Modulation | None = None
    raw: int = 0

    def floats(self, out: Domain, counts: Counts) -> int:
        """Returns how many floats are read of it, of its modulation and of its norm."""
        x, taps = self.x, (self.kh, self.kw)
        affine = 2 * x.c * (x.n if self.stride_affine else 1) if self.scale != NONE else 0
        if out.list == NONE:
            windows, stored = x.n, x.h * x.w >> 2 * max(0, -self.resample)
            seen = x.h * x.w << 2 if self.resample > 0 else stored
        else:
            windows = out.tiles(counts)
            h, w = ((out.tile - 1) * self.stride + kernel for kernel in taps)
            seen = stored = h * w
            if self.resample > 0:
                stored = math.prod(
                    n // 2 + 1 if kernel > 1 else -(-n // 2) for n, kernel in zip((h, w), taps, strict=True)
                )
        return windows * (stored + 2 * seen * (self.mod is not None)) * x.c + affine


@dataclass(frozen=True)
class Conv:
    out: Domain
    c_out: int
    weight: Slot
    bias: Slot
    vec: Slot
    vec_stride: int
    sums: Slot
    residual: Tensor | None
    residual_resample: int
    source: tuple[Source, ...]
    output: tuple[Output, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.source

    def work(self, counts: Counts) -> Work:
        """Where zeros lie between the pixels, a quarter of the kernel's taps multiply."""
        taps = [s.kh * s.kw * s.x.c for s in self.source]
        quarters = sum(n if s.zeros else 4 * n for n, s in zip(taps, self.source, strict=True))
        macs, weights = self.out.pixels(counts) * self.c_out * quarters // 4, self.c_out * sum(taps)
        floats = _floats(self, self.c_out, counts) + weights + (self.vec != NONE) * self.c_out * self.out.n
        channels = sum(s.x.c for s in self.source), self.c_out
        return Work(macs, floats, channels, *self.out.extent(counts), weights)


@dataclass(frozen=True)
class Depthwise:
    out: Domain
    c: int
    weight: Slot
    bias: Slot
    sums: Slot
    residual: Tensor | None
    residual_resample: int
    source: Source
    output: tuple[Output, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.source,)

    def work(self, counts: Counts) -> Work:
        """A mean multiplies nothing."""
        weights = 0 if self.weight == NONE else self.c * self.source.kh * self.source.kw
        macs, floats = self.out.pixels(counts) * weights, _floats(self, self.c, counts) + weights
        return Work(macs, floats, (self.c, self.c), *self.out.extent(counts), weights)


@dataclass(frozen=True)
class Norm:
    n: int
    pixels: int
    groups: int
    sums: tuple[Slot, ...]
    tiles: tuple[int, ...]
    c: tuple[int, ...]
    recorded: Slot
    before: tuple[Slot, ...]
    grid: Slot
    weight: Slot
    bias: Slot
    mod: Slot
    scale: Slot
    shift: Slot
    moments: Slot
    gain: Slot
    eps: float

    def work(self, counts: Counts) -> Work:
        sums = sum(self.n * tiles * 2 * c for tiles, c in zip(self.tiles, self.c, strict=True))
        vectors = (self.weight != NONE) + (self.bias != NONE) + self.n * (2 + 2 * (self.mod != NONE))
        return Work(0, sums + vectors * sum(self.c), (sum(self.c), sum(self.c)), None, None)


@dataclass(frozen=True)
class Attention:
    out: Domain
    keys: int
    heads: int
    head_dim: int
    q: Slot
    k: Slot
    v: Slot
    dst: Slot
    q_stride: int
    k_stride: int
    v_stride: int
    scale: float

    def work(self, counts: Counts) -> Work:
        c, queries = self.heads * self.head_dim, self.out.pixels(counts)
        floats = 2 * (queries + self.out.n * self.keys) * c
        return Work(2 * queries * self.keys * c, floats, (c, c), *self.out.extent(counts))


@dataclass(frozen=True)
class Paste:
    x: Tensor
    dst: Slot

    def work(self, counts: Counts) -> Work:
        """Sums of tiles are pasted as an image of one pixel a tile, which is no plane of its own."""
        x = self.x
        tiles = counts.get((x.h, x.w)) if x.tile > 1 else None
        return Work(0, 2 * x.n * x.h * x.w * x.c, (x.c, x.c), (x.h, x.w), tiles)


@dataclass(frozen=True)
class Store:
    out: Domain
    c: int
    src: Slot
    dst: Slot
    stored: int
    change: Slot = NONE
    squares: int = 0

    def work(self, counts: Counts) -> Work:
        """Sums of tiles are stored as an image of one pixel a tile, which is no plane of its own."""
        out = self.out
        tiles = counts.get((out.h, out.w)) if out.list != NONE and out.tile > 1 else None
        pixels = out.n * out.h * out.w if tiles is None else tiles * out.tile**2
        return Work(0, 2 * pixels * self.c, (self.c, self.c), (out.h, out.w), tiles)


Convolution = Conv | Depthwise
"""These ops read sources and end in an epilogue."""

ProgramOp = Convolution | Norm | Attention | Paste | Store


def _floats(op: Convolution, c: int, counts: Counts) -> int:
    """Returns how many floats a convolution of `c` channels moves besides its weights, modulations of all pixels
    too."""
    out, pixels = op.out, op.out.pixels(counts)
    read = sum(source.floats(out, counts) for source in op.sources) + (op.bias != NONE) * c
    read += (op.residual is not None) * (pixels >> 2 * op.residual_resample) * c
    read += sum(2 * c * (out.n if o.stride else 1) for o in op.output if o.scale != NONE)
    read += sum(2 * c * pixels for o in op.output if o.mod)
    return read + pixels * c * len(op.output) + (op.sums != NONE) * 2 * c * out.tiles(counts)


def slots_of(op: Any) -> Iterator[Slot]:
    """Yields every slot that an op names."""
    for f in fields(op):
        value = getattr(op, f.name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item):
                yield from slots_of(item)
            elif isinstance(item, Slot) and item != NONE:
                yield item


@dataclass
class Program:
    """Ops run in this order over slots."""

    ops: list[ProgramOp] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Each op belongs to the layer of this name."""

    def macs(self, counts: Counts) -> int:
        """Returns the multiply-accumulates of one run on so many tiles."""
        return sum(op.work(counts).macs for op in self.ops)

    @property
    def recorded(self) -> dict[Any, Buffer]:
        """These must be recorded before it can run; a recording program records them."""
        return {b.key: b for b in self.buffers if b.kind is Kind.RECORDED}

    @property
    def planes(self) -> list[Size]:
        """It computes these planes in tiles; the largest comes first."""
        return sorted((b.key for b in self.buffers if b.kind is Kind.ROWS), reverse=True)
