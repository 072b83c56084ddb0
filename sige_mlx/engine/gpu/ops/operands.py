"""What ops read and write on the GPU: planes, maps, domains. Each knows the struct of `metal/params.h` that describes
it, and the arrays that a kernel is given for it.

While a program is compiled its arrays are placeholders: they have a shape and a type, and MLX never makes them.
Values are of one floating-point type, the storage type T; affine maps, biases and sums are float32.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.launch import CONSTANT_SIZE

Struct = dict[str, Any]
"""The members of a struct by name; those that are not there are zero."""

Arrays = dict[str, mx.array]
"""Arrays by the names that the kernels give them."""


@functools.cache
def nothing(dtype: mx.Dtype) -> mx.array:
    """Stands where an array is not given; no kernel reads it."""
    return mx.array([0] * CONSTANT_SIZE, dtype)


def given(a: mx.array | None, dtype: mx.Dtype) -> mx.array:
    """The array, or what stands where there is none."""
    return nothing(dtype) if a is None else a


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
        """The type of its values."""
        stored = self.base if self.base is not None else self.blocks
        assert stored is not None
        return stored.dtype

    @property
    def struct(self) -> Struct:
        return {
            "h": self.h,
            "w": self.w,
            "c": self.c,
            "tile": self.tile,
            "grid_h": -(-self.h // self.tile),
            "grid_w": -(-self.w // self.tile),
            "has_base": self.base is not None,
            "has_blocks": self.blocks is not None,
        }


def plane_arrays(name: str, p: Plane | None, dtype: mx.Dtype) -> Arrays:
    """The arrays of a plane, which need not be there."""
    base, blocks, grid = (None, None, None) if p is None else (p.base, p.blocks, p.grid)
    return {
        f"{name}_base": given(base, dtype),
        f"{name}_blocks": given(blocks, dtype),
        f"{name}_grid": given(grid, mx.int32),
    }


@dataclass(frozen=True)
class Affine:
    """A map per image and channel. `array` float32 [2, n, …] is scale, then shift, of which those from channel `first`
    on are used; [2, 1, …] serves all images."""

    array: mx.array
    first: int = 0

    @property
    def struct(self) -> Struct:
        _, images, channels = self.array.shape
        image = channels if images > 1 else 0
        return {"present": 1, "first": self.first, "image": image, "shift": images * channels}


@dataclass(frozen=True)
class Modulation:
    """What pixels are modulated with: channel c becomes value * (1 + gamma) + beta, by channel gamma_first + c of one
    plane and beta_first + c of another."""

    gamma: Plane
    beta: Plane
    gamma_first: int = 0
    beta_first: int = 0

    @property
    def struct(self) -> Struct:
        firsts = {"gamma_first": self.gamma_first, "beta_first": self.beta_first}
        return {"present": 1, "gamma": self.gamma.struct, "beta": self.beta.struct, **firsts}


def modulation_arrays(name: str, m: Modulation | None, dtype: mx.Dtype) -> Arrays:
    """The arrays of a modulation, which need not be there."""
    gamma, beta = (None, None) if m is None else (m.gamma, m.beta)
    return {**plane_arrays(f"{name}_gamma", gamma, dtype), **plane_arrays(f"{name}_beta", beta, dtype)}


def in_fours(a: Affine | None, m: Modulation | None) -> bool:
    """Whether four channels of a map and a modulation can be read at once."""
    mapped = a is None or (a.first % 4 == 0 and a.array.shape[-1] % 4 == 0)
    return mapped and (m is None or all(v % 4 == 0 for v in (m.gamma.c, m.beta.c, m.gamma_first, m.beta_first)))


@dataclass(frozen=True)
class Domain:
    """The pixels an op computes: all of [n, h, w], or the tiles of `list` int32 [tiles, 3] (image, row, column). Rows
    with a negative image fill a list up at its end: what is written for them is never read."""

    n: int
    h: int
    w: int
    tile: int
    list: mx.array | None = None

    @property
    def tiles(self) -> int:
        """How many tiles are computed. Those of a dense domain are in the order image, row, column."""
        if self.list is not None:
            return self.list.shape[0]
        return self.n * -(-self.h // self.tile) * -(-self.w // self.tile)

    def cut(self, tile: int) -> "Domain":
        """The same pixels in other tiles; a list cannot be cut anew."""
        assert self.list is None or tile == self.tile
        return replace(self, tile=tile)

    def shape(self, c: int) -> tuple[int, ...]:
        """The shape of a result with `c` channels."""
        if self.list is None:
            return (self.n, self.h, self.w, c)
        return (self.tiles, self.tile, self.tile, c)

    @property
    def struct(self) -> Struct:
        return {
            "n": self.n,
            "h": self.h,
            "w": self.w,
            "tile": self.tile,
            "grid_h": -(-self.h // self.tile),
            "grid_w": -(-self.w // self.tile),
            "tiles": self.tiles,
            "listed": self.list is not None,
        }


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

    @property
    def struct(self) -> Struct:
        names = ("kh", "kw", "stride", "pad_top", "pad_left", "resample", "zeros", "reflect", "act")
        numbers = {name: getattr(self, name) for name in names}
        return {"x": self.x.struct, **numbers, "affine": struct_of(self.affine), "mod": struct_of(self.mod)}

    def arrays(self, name: str, modulated: bool, dtype: mx.Dtype) -> Arrays:
        """`modulated`: the kernel takes the arrays of a modulation, whether this source has one or not."""
        affine = nothing(mx.float32) if self.affine is None else self.affine.array
        arrays = {**plane_arrays(name, self.x, dtype), f"{name}_affine": affine}
        return arrays | modulation_arrays(name, self.mod, dtype) if modulated else arrays

    @property
    def in_fours(self) -> bool:
        """Whether four channels, and what they are normalised with, can be read at once."""
        return self.x.c % 4 == 0 and in_fours(self.affine, self.mod)


@dataclass(frozen=True)
class Tokens:
    """Pixels one after the other: of `array` T [n, tokens, channels] the channels from `first` on, as many as its
    reader wants."""

    array: mx.array
    first: int = 0

    @property
    def struct(self) -> Struct:
        return {"first": self.first, "stride": self.array.shape[-1]}


def struct_of(operand: Plane | Affine | Modulation | None) -> Struct:
    """The struct of an operand that need not be there."""
    return {} if operand is None else operand.struct
