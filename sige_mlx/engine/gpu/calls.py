"""What the GPU computes, op by op, with its arrays in place: the ops of a program (`graph/program.py`, `cpu/sige_cpu.h`
explain them), where every slot has become an array.

A call is run by a Metal kernel (`kernels/`) or by plain MLX operations (`twins.py`); both give the same arrays.
Values are of one floating-point type, the storage type T; affine maps, biases and sums are float32.
"""

from dataclasses import dataclass, replace

import mlx.core as mx


@dataclass(frozen=True)
class Plane:
    """An NHWC value: `base` [n, h, w, c], and where tiles were recomputed `blocks` [tiles, tile, tile, c] and `grid`
    int32 [n, ceil(h / tile), ceil(w / tile)], a tile's block or -1."""

    n: int
    h: int
    w: int
    c: int
    tile: int
    base: mx.array | None
    blocks: mx.array | None = None
    grid: mx.array | None = None

    @property
    def dtype(self) -> mx.Dtype:
        """Of its values."""
        stored = self.base if self.base is not None else self.blocks
        assert stored is not None
        return stored.dtype


@dataclass(frozen=True)
class Affine:
    """A map per image and channel. `array` float32 [2, n, …] is scale, then shift, of which those from channel `first`
    on are used; [2, 1, …] serves all images."""

    array: mx.array
    first: int = 0


@dataclass(frozen=True)
class Domain:
    """The pixels an op computes: all of [n, h, w], or the tiles of `list` int32 [tiles, 3] (image, row, column; rows
    with a negative image compute nothing)."""

    n: int
    h: int
    w: int
    tile: int
    list: mx.array | None = None

    @property
    def tiles(self) -> int:
        """How many tiles are computed, those of a dense domain in the order image, row, column."""
        if self.list is not None:
            return self.list.shape[0]
        return self.n * -(-self.h // self.tile) * -(-self.w // self.tile)

    def cut(self, tile: int) -> "Domain":
        """The same pixels in other tiles; those of a list are what they are."""
        assert self.list is None or tile == self.tile
        return replace(self, tile=tile)

    def shape(self, c: int) -> tuple[int, ...]:
        """Of what is written."""
        if self.list is None:
            return (self.n, self.h, self.w, c)
        return (self.tiles, self.tile, self.tile, c)


@dataclass(frozen=True)
class Modulation:
    """What pixels are modulated with: channel c becomes value * (1 + gamma) + beta, by channel gamma_first + c of one
    plane and beta_first + c of another."""

    gamma: Plane
    beta: Plane
    gamma_first: int = 0
    beta_first: int = 0


@dataclass(frozen=True)
class Source:
    """One input of a convolution and how it is read: `metal/params.h` tells."""

    x: Plane
    kh: int
    kw: int
    stride: int = 1
    pad_top: int = 0
    pad_left: int = 0
    resample: int = 0
    zeros: bool = False
    reflect: bool = False
    affine: Affine | None = None
    act: int = 0
    mod: Modulation | None = None


@dataclass(frozen=True)
class Output:
    """One result of an epilogue: act((value * scale + shift) * (1 + gamma) + beta)."""

    affine: Affine | None = None
    mod: Modulation | None = None
    act: int = 0


@dataclass(frozen=True)
class Epilogue:
    """What follows a convolution: + bias + vec + residual, then the outputs. `bias` float32 [c_out] or longer, `vec` T
    [n, c_out] or [1, c_out]; the residual is upsampled by a `residual_resample` of 1. With `sums`, also each tile's sum
    of value and of value squared, float32 [tiles, 2, c_out]."""

    out: Domain
    c_out: int
    outputs: tuple[Output, ...] = (Output(),)
    bias: mx.array | None = None
    vec: mx.array | None = None
    residual: Plane | None = None
    residual_resample: int = 0
    sums: bool = False


@dataclass(frozen=True)
class Conv:
    """The sum of the sources' convolutions, then the epilogue. `weight` T is packed (`weights.py`).

    With a `phase_shift` it is phased: the sources' planes have half the sides of the domain, and output pixel
    (2 y + a, 2 x + b) reads, for tap (ky, kx), pixel (y + a * phase_shift + ky - pad_top, x + b * phase_shift + kx -
    pad_left), by weights of its phase, 2 a + b; `weight` holds the four one after the other.

    `transformed` are the same weights for a kernel that convolves by F(4x4, 3x3) (`winograd.py`), where one should."""

    epilogue: Epilogue
    weight: mx.array
    sources: tuple[Source, ...]
    phase_shift: int | None = None
    transformed: mx.array | None = None


@dataclass(frozen=True)
class Depthwise:
    """Every channel's own convolution, then the epilogue. `weight` T [taps, c]; without it, the mean of the taps.
    `dtype` is that of the outputs."""

    epilogue: Epilogue
    weight: mx.array | None
    source: Source
    dtype: mx.Dtype


@dataclass(frozen=True)
class Paste:
    """A plane with its blocks over its base, [n, h, w, c]."""

    x: Plane


@dataclass(frozen=True)
class Norm:
    """A normalisation of groups of channels as the array of an `Affine`, float32 [2, n, channels], from sums over
    tiles: float32 planes of one pixel a tile with twice a source's channels, its sums and its sums of squares. `pixels`
    are those of an image; `mod` [n, 2 * channels] of the type `dtype`, s then t, follows the map by x * (1 + s) + t."""

    n: int
    pixels: int
    groups: int
    sums: tuple[Plane, ...]
    weight: mx.array | None
    bias: mx.array | None
    mod: mx.array | None
    eps: float
    dtype: mx.Dtype

    @property
    def channels(self) -> int:
        return sum(s.c for s in self.sums) // 2


@dataclass(frozen=True)
class Tokens:
    """Pixels one after the other: of `array` T [n, tokens, channels] the channels from `first` on, as many as its
    reader wants."""

    array: mx.array
    first: int = 0


@dataclass(frozen=True)
class Attention:
    """softmax(scale * q k^T) v by heads of `head_dim` channels, for the pixels of `out`. `k` and `v` hold every pixel
    of their image; `q` is [n, h * w, …], or blocks [tiles, tile * tile, …]. Gives [n, h * w, heads * head_dim], or
    blocks."""

    out: Domain
    q: Tokens
    k: Tokens
    v: Tokens
    heads: int
    head_dim: int
    scale: float

    @property
    def channels(self) -> int:
        return self.heads * self.head_dim

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what it gives."""
        return (*self.q.array.shape[:2], self.channels)


Call = Conv | Depthwise | Paste | Norm | Attention
