"""Normalisations as affine maps, `metal/norm`."""

from dataclasses import dataclass, replace
from itertools import repeat
from typing import ClassVar

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.call import Call
from sige_mlx.engine.gpu.ops.epilogue import Results
from sige_mlx.engine.gpu.ops.operands import Arrays, Plane, given, plane_arrays
from sige_mlx.engine.gpu.ops.sampling import IMAGES, Sampling
from sige_mlx.engine.gpu.placing import Placing
from sige_mlx.graph import program as p

THREADS = 256


@dataclass(frozen=True)
class Norm(Call):
    """A normalisation of groups of channels as the array of an `Affine`, float32 [2, n, channels], from sums over
    tiles: float32 planes of one pixel a tile with twice a source's channels, its sums and its sums of squares. `pixels`
    are those of an image; `mod` [n, 2 * channels] of the type `dtype`, s then t, follows the map by x * (1 + s) + t.
    With it comes what it is made of: the moments [n, 2, groups] and the gain [n, 2, channels] of
    `engine/statistics.py`. With `recorded` moments, `sums` are blocks alone, and statistics become what they are once
    these are there in place of those `before`, float32 [tiles, 1, 1, twice a source's channels]."""

    kernel: ClassVar[str] = "norm"

    n: int
    pixels: int
    groups: int
    sums: tuple[Plane, ...]
    weight: mx.array | None
    bias: mx.array | None
    mod: mx.array | None
    eps: float
    dtype: mx.Dtype
    recorded: mx.array | None = None
    before: tuple[mx.array, ...] = ()

    @classmethod
    def of(cls, op: p.Norm, placing: Placing) -> "Norm":
        return cls(
            op.n,
            op.pixels,
            op.groups,
            tuple(placing.sums(*of, op.grid) for of in zip(op.sums, repeat(op.n), op.tiles, op.c)),
            placing.array(op.weight),
            placing.array(op.bias),
            placing.array(op.mod, op.n, 2 * sum(op.c)),
            op.eps,
            placing.dtype,
            placing.array(op.recorded),
            tuple(
                a
                for of, c in zip(op.before, op.c, strict=True)
                if (a := placing.array(of, -1, 1, 1, 2 * c)) is not None
            ),
        )

    @classmethod
    def writes(cls, op: p.Norm) -> list[p.Slot]:
        return [op.scale, op.moments, op.gain]  # and the shift with the scale: they are one array

    @property
    def channels(self) -> int:
        return sum(s.c for s in self.sums) // 2

    @property
    def results(self) -> Results:
        n, c = self.n, self.channels
        shapes = {"affine": (2, n, c), "moments": (n, 2, self.groups), "gain": (n, 2, c)}
        return {name: (shape, mx.float32) for name, shape in shapes.items()}

    def _launch(self, blocking: None) -> Launch:
        struct = {
            "n": self.n,
            "pixels": self.pixels,
            "groups": self.groups,
            "channels": self.channels,
            "has_weight": self.weight is not None,
            "has_bias": self.bias is not None,
            "has_mod": self.mod is not None,
            "mod_image": 2 * self.channels if self.mod is not None and self.mod.shape[0] > 1 else 0,
            "eps": self.eps,
            "sums": [s.struct for s in self.sums],
        }
        arrays: Arrays = {
            "weight": given(self.weight, mx.float32),
            "bias": given(self.bias, mx.float32),
            "mod": given(self.mod, self.dtype),
        }
        for i, s in enumerate(self.sums):
            arrays |= plane_arrays(f"sums{i}", s, mx.float32)
        if self.recorded is not None:
            arrays |= {"recorded": self.recorded, **{f"before{i}": b for i, b in enumerate(self.before)}}
        defines = ("SOURCES", len(self.sums)), ("FOLLOWED", int(self.recorded is not None))
        template = (("T", self.dtype),)
        groups = (self.n * self.groups, 1, 1)
        return self._launched(("NormParams", struct), arrays, defines, template, groups, THREADS)

    def by_mlx(self) -> list[mx.array]:
        n, c = self.n, self.channels
        sums, squares = [], []
        for i, plane in enumerate(self.sums):
            both = reading.whole(plane)
            if self.recorded is not None:
                both = both - reading.whole(replace(plane, blocks=self.before[i]))
            both = both.reshape(n, -1, plane.c)
            sums.append(both[..., : plane.c // 2])
            squares.append(both[..., plane.c // 2 :])
        by_group = (n, -1, self.groups, c // self.groups)
        count = self.pixels * (c // self.groups)
        sum_ = mx.concatenate(sums, -1).reshape(by_group)
        square = mx.concatenate(squares, -1).reshape(by_group)
        # In two passes: the difference of two large numbers would lose the variance's digits.
        mean = sum_.sum((1, 3), keepdims=True) / count
        of_tile = self.pixels / sum_.shape[1]
        before = mx.zeros((2, n, 1, self.groups, 1))
        if self.recorded is not None:
            before, of_tile = self.recorded.swapaxes(0, 1)[:, :, None, :, None], 0.0
        mean = before[0] + mean
        variance = (square - mean * (2 * sum_ - mean * of_tile)).sum((1, 3), keepdims=True) / count
        if self.recorded is not None:
            variance = variance + before[1] + (before[0] - mean).square()
        variance = mx.maximum(variance, 0.0)
        moments = mx.stack([mean.reshape(n, self.groups), variance.reshape(n, self.groups)], axis=1)
        factor = mx.ones((n, c)) if self.weight is None else mx.broadcast_to(self.weight, (n, c))
        addend = mx.zeros((n, c)) if self.bias is None else mx.broadcast_to(self.bias, (n, c))
        if self.mod is not None:
            s, t = mx.split(self.mod.astype(mx.float32), 2, axis=-1)
            factor, addend = factor * (1 + s), addend * (1 + s) + t
        inverse, mean = (
            mx.broadcast_to(v[:, 0], (n, self.groups, c // self.groups)).reshape(n, c)
            for v in (mx.rsqrt(variance + self.eps), mean)
        )
        scale = factor * inverse
        return [mx.stack([scale, addend - mean * scale]), moments, mx.stack([factor, addend], axis=1)]

    def sample(self, sampling: Sampling) -> "Norm":
        h, w, tile, c = 7, 11, 4, self.channels
        planes, before, moments = [], [], []
        for s in self.sums:
            values = [1 + sampling.normal(IMAGES, h, w, s.c // 2) for _ in "ab"]
            whole, other = (reading.tile_sums(reading.cut(x, tile)) for x in values)
            blocks = grid = None
            if self.recorded is not None or sampling.wants(s.blocks is not None):
                rows, grid = sampling.tiles(IMAGES, 2, 3)
                listed = mx.array((rows @ [6, 3, 1]).astype(np.int32))
                blocks = other[listed].reshape(-1, 1, 1, s.c)
                before.append(whole[listed].reshape(-1, 1, 1, s.c))
            base = whole.reshape(IMAGES, 2, 3, s.c) if self.recorded is None else None
            planes.append(Plane(IMAGES, 2, 3, s.c, 1, base, blocks, None if grid is None else mx.array(grid)))
            moments.append(values[0])
        mod = None
        if sampling.wants(self.mod is not None):
            several = sampling.options or (self.mod is not None and len(self.mod) > 1)
            mod = sampling.normal(IMAGES if several else 1, 2 * c, dtype=self.dtype)
        weight = sampling.normal(c) if sampling.wants(self.weight is not None) else None
        bias = sampling.normal(c) if sampling.wants(self.bias is not None) else None
        followed: tuple[mx.array | None, tuple[mx.array, ...]] = None, ()
        if self.recorded is not None:
            groups = mx.concatenate(moments, -1).reshape(IMAGES, h * w, self.groups, -1)
            followed = mx.stack([groups.mean((1, 3)), groups.var((1, 3))], axis=1), tuple(before)
        return Norm(IMAGES, h * w, self.groups, tuple(planes), weight, bias, mod, self.eps, self.dtype, *followed)
