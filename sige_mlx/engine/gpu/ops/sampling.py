"""Small operands with random arrays: what a call is made of that runs the same kernel as another."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Output
from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source, Tokens

CHANNELS = 40
"""More than one step of any loop over channels."""
IMAGES = 2
FIRST = 4
"""Channels that nothing uses, before those that a map or a modulation has."""


class Sampling:
    """Makes operands like others. `options`: whether there is what need not be; None: as in the call."""

    def __init__(self, blocking: Any, options: bool | None):
        self.blocking = blocking
        self.options = options
        self.rng = np.random.default_rng(0)

    def wants(self, given: bool) -> bool:
        """Whether there is something that need not be, and that the call has or has not."""
        return given if self.options is None else self.options

    def channels(self, given: int, fours: bool) -> int:
        """About CHANNELS, in fours or not."""
        return CHANNELS + (0 if fours else given % 4 or 1)

    def epilogue(self, e: Epilogue, tile: int | None, c: int, fours: bool, dtype: mx.Dtype) -> Epilogue:
        """Of `c` channels, in tiles of another side where one is given."""
        resample = int(self.wants(bool(e.residual_resample)) and e.residual is not None)
        out = self.domain(e.out, tile, even=resample == 1)
        residual = vec = None
        if e.residual is not None:
            residual = self.plane(e.residual, out.h >> resample, out.w >> resample, c, dtype, base_alone=False)
        if self.wants(e.vec is not None):
            vec = self.normal(IMAGES if self.options or (e.vec is not None and len(e.vec) > 1) else 1, c, dtype=dtype)
        modulated = self.modulated([o.mod for o in e.outputs])
        return replace(
            e,
            out=out,
            c_out=c,
            outputs=tuple(
                Output(
                    self.affine(o.affine, c, fours),
                    self.modulation(o.mod, (out.h, out.w), c, out.tile, fours, dtype) if mod else None,
                    self.act(o.act),
                )
                for o, mod in zip(e.outputs, modulated, strict=True)
            ),
            bias=self.normal(c) if self.wants(e.bias is not None) else None,
            vec=vec,
            residual=residual,
            residual_resample=resample,
        )

    def source(
        self, s: Source, out: Domain, c: int, fours: bool, modulated: bool, dtype: mx.Dtype, phased: bool = False
    ) -> Source:
        resample = s.resample if self.options is None or phased else 1 if self.options else -1
        if phased:
            h, w = shown = -(-out.h // 2), -(-out.w // 2)
        else:
            wanted = [(size - 1) * s.stride + 1 for size in (out.h, out.w)]
            h, w = (-(-size // 2) if resample > 0 else size << -resample for size in wanted)
            shown = (2 * h, 2 * w) if resample > 0 else (h >> -resample, w >> -resample)
        top, left = (s.pad_top, s.pad_left) if self.options is None or phased else (s.kh // 2, s.kw // 2)
        zeros = self.wants(s.zeros) and resample == 1 and not modulated
        reflect = (s.reflect if self.options is None else not self.options) and not phased
        ends = zip((out.h, out.w), (s.kh, s.kw), (top, left), shown, strict=True)
        fits = all(max(pad, (size - 1) * s.stride + k - pad - most) < most for size, k, pad, most in ends)
        return replace(
            s,
            x=self.plane(s.x, h, w, c, dtype),
            pad_top=top,
            pad_left=left,
            resample=resample,
            zeros=zeros,
            reflect=reflect and fits,
            affine=self.affine(s.affine, c, fours),
            act=self.act(s.act),
            mod=self.modulation(s.mod, shown, c, s.x.tile, fours, dtype) if modulated else None,
        )

    def modulated(self, mods: list[Modulation | None]) -> list[bool]:
        """Which of several have a modulation: a kernel is compiled for there being one."""
        given = [mod is not None for mod in mods]
        if self.options is None or not any(given):
            return given
        return [self.options or i == given.index(True) for i in range(len(given))]

    def act(self, act: int) -> int:
        if self.options is None:
            return act
        return int(self.rng.integers(1, 5)) if self.options else 0

    def domain(self, d: Domain, tile: int | None, even: bool) -> Domain:
        """A few tiles, the last of which reach beyond the image, of which a list has most, filled up."""
        listed = self.wants(d.list is not None)
        tile = tile if tile and listed else d.tile
        side = max(tile, 4)
        h, w = (times * side - 1 - (even and times * side % 2 == 0) for times in (3, 2))
        if not listed:
            return Domain(IMAGES, h, w, tile)
        rows, _ = self.tiles(IMAGES, -(-h // tile), -(-w // tile))
        rows = np.concatenate([rows, np.full((1, 3), -1, np.int32)])
        return Domain(IMAGES, h, w, tile, mx.array(rows))

    def plane(self, p: Plane, h: int, w: int, c: int, dtype: mx.Dtype, base_alone: bool = True) -> Plane:
        """With both a base and blocks, or one of them."""
        has_base, has_blocks = p.base is not None, p.blocks is not None
        if self.options is not None:
            has_base, has_blocks = self.options or base_alone, self.options or not base_alone
        base = self.normal(IMAGES, h, w, c, dtype=dtype) if has_base else None
        if not has_blocks:
            return Plane(IMAGES, h, w, c, p.tile, base)
        rows, grid = self.tiles(IMAGES, -(-h // p.tile), -(-w // p.tile))
        blocks = self.normal(len(rows), p.tile, p.tile, c, dtype=dtype)
        return Plane(IMAGES, h, w, c, p.tile, base, blocks, mx.array(grid))

    def tiles(self, n: int, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """Two thirds of all tiles in any order, int32 [tiles, 3], and the grid of their numbers."""
        rows = self.rng.permutation(np.argwhere(np.ones((n, h, w))))[: -(-2 * n * h * w // 3)].astype(np.int32)
        grid = np.full((n, h, w), -1, np.int32)
        grid[tuple(rows.T)] = np.arange(len(rows))
        return rows, grid

    def affine(self, a: Affine | None, c: int, fours: bool) -> Affine | None:
        if not self.wants(a is not None):
            return None
        first = FIRST + (0 if a is None else a.first % 4)
        images = IMAGES if self.options or (a is not None and a.array.shape[1] > 1) else 1
        shape = (images, wide(first + c, fours))
        return Affine(mx.stack([1 + 0.2 * self.normal(*shape), self.normal(*shape)]), first)

    def modulation(
        self, m: Modulation | None, size: tuple[int, int], c: int, tile: int, fours: bool, dtype: mx.Dtype
    ) -> Modulation:
        first = [FIRST, 2 * FIRST]
        like = [Plane(0, 0, 0, 0, tile, mx.array(0.0))] * 2
        if m is not None:
            first = [FIRST + m.gamma_first % 4, 2 * FIRST + m.beta_first % 4]
            like = [m.gamma, m.beta]
        gamma, beta = (
            self.plane(p, *size, wide(f + c, fours), dtype, base_alone=False) for p, f in zip(like, first, strict=True)
        )
        return Modulation(gamma, beta, *first)

    def tokens(self, t: Tokens, n: int, count: int) -> Tokens:
        return Tokens(self.normal(n, count, t.array.shape[-1], dtype=t.array.dtype), t.first)

    def normal(self, *shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
        return mx.array(self.rng.standard_normal(shape).astype(np.float32)).astype(dtype)


def wide(least: int, fours: bool) -> int:
    """Channels of an array of which some are left out: in fours, or surely not."""
    return least + -least % 4 + (0 if fours else 1)
