"""Small calls with random arrays that run the same kernel as another: what a kernel is tried on."""

from collections.abc import Iterator
from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.calls import (
    Affine,
    Attention,
    Call,
    Conv,
    Depthwise,
    Domain,
    Epilogue,
    Modulation,
    Norm,
    Output,
    Paste,
    Plane,
    Source,
    Tokens,
)
from sige_mlx.engine.gpu.kernels import arguments, outputs
from sige_mlx.engine.gpu.kernels.conv_shape import NarrowShape
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.reading import tile_sums
from sige_mlx.engine.gpu.weights import pack
from sige_mlx.engine.gpu.winograd import transformed

CHANNELS, TOKENS = 40, 40
"""More than one step of any loop over channels, or keys."""
IMAGES = 2
FIRST = 4
"""Channels that nothing uses, before those that a map or a modulation has."""


def samples(call: Call, launch: Launch) -> Iterator[Call]:
    """Calls on a few tiles of two images, for the kernel of `launch`, that of `call`. The first reads and writes as the
    call does; of what a kernel is told only when it runs (is there a bias? is the plane reflected?) the second has all
    that can be, the third nothing. They may need another kernel, where what one was compiled for hangs on that."""
    for options in (None, True, False):
        yield _Sample(launch, options).of(call)


class _Sample:
    """`options`: whether there is what need not be; None: as in the call."""

    def __init__(self, launch: Launch, options: bool | None):
        self.shape = launch.shape
        self.options = options
        self.rng = np.random.default_rng(0)

    def of(self, call: Call) -> Call:
        if isinstance(call, Conv):
            return self.conv(call)
        if isinstance(call, Depthwise):
            return self.depthwise(call)
        if isinstance(call, Norm):
            return self.norm(call)
        if isinstance(call, Attention):
            return self.attention(call)
        x = call.x
        return Paste(self.plane(x, 2 * x.tile + 1, x.tile, channels(x.c, x.c % 4 == 0), x.dtype))

    def wants(self, given: bool) -> bool:
        return given if self.options is None else self.options

    # ---- ops

    def conv(self, call: Conv) -> Conv:
        fours, e = all(map(arguments.source_in_fours, call.sources)), call.epilogue
        narrow = isinstance(self.shape, NarrowShape)
        epilogue = self.epilogue(e, e.c_out if narrow else channels(e.c_out, outputs.in_fours(e)), call.weight.dtype)
        phased = call.phase_shift is not None
        modulated = self.modulated([s.mod for s in call.sources])
        sources = tuple(
            self.source(s, epilogue.out, channels(s.x.c, fours), fours, mod, call.weight.dtype, phased)
            for s, mod in zip(call.sources, modulated, strict=True)
        )
        packed = [self.weight(epilogue.c_out, sources, call.weight.dtype) for _ in range(4 if phased else 1)]
        shift = call.phase_shift if self.options is not False or not phased else 0
        small = replace(call, epilogue=epilogue, sources=sources, weight=mx.concatenate(packed), phase_shift=shift)
        if call.transformed is None:
            return small
        shapes = [(s.kh, s.kw, s.x.c) for s in sources]
        return replace(small, transformed=transformed(small.weight, epilogue.c_out, shapes))

    def weight(self, c_out: int, sources: tuple[Source, ...], dtype: mx.Dtype) -> mx.array:
        parts = [self.normal(c_out, s.kh, s.kw, s.x.c, dtype=dtype) for s in sources]
        return pack([w * mx.array(w[0].size ** -0.5, dtype) for w in parts])

    def depthwise(self, call: Depthwise) -> Depthwise:
        e, s = call.epilogue, call.source
        fours = outputs.in_fours(e) and arguments.source_in_fours(s)
        epilogue = self.epilogue(e, channels(e.c_out, fours), call.dtype)
        source = self.source(s, epilogue.out, epilogue.c_out, fours, s.mod is not None, call.dtype)
        weight = None
        if self.wants(call.weight is not None):
            weight = self.normal(s.kh * s.kw, epilogue.c_out, dtype=call.dtype)
        return replace(call, epilogue=epilogue, source=source, weight=weight)

    def norm(self, call: Norm) -> Norm:
        h, w, tile, c = 7, 11, 4, call.channels
        planes = []
        for s in call.sums:
            whole, other = (
                tile_sums(1 + self.normal(IMAGES, h, w, s.c // 2), Domain(IMAGES, h, w, tile)) for _ in "ab"
            )
            base, blocks, grid = whole.reshape(IMAGES, 2, 3, s.c), None, None
            if self.wants(s.blocks is not None):
                rows, grid = self.tiles(IMAGES, 2, 3)
                blocks = other[mx.array((rows @ [6, 3, 1]).astype(np.int32))].reshape(-1, 1, 1, s.c)
            planes.append(Plane(IMAGES, 2, 3, s.c, 1, base, blocks, None if grid is None else mx.array(grid)))
        mod = None
        if self.wants(call.mod is not None):
            images = IMAGES if self.options or (call.mod is not None and len(call.mod) > 1) else 1
            mod = self.normal(images, 2 * c, dtype=call.dtype)
        return replace(
            call,
            n=IMAGES,
            pixels=h * w,
            sums=tuple(planes),
            weight=self.normal(c) if self.wants(call.weight is not None) else None,
            bias=self.normal(c) if self.wants(call.bias is not None) else None,
            mod=mod,
        )

    def attention(self, call: Attention) -> Attention:
        out = self.domain(call.out, even=False)
        queries = (out.n, out.h * out.w) if out.list is None else (out.tiles, out.tile**2)
        k, v = (self.tokens(t, out.n, TOKENS) for t in (call.k, call.v))
        return replace(call, out=out, q=self.tokens(call.q, *queries), k=k, v=v)

    # ---- what they read and write

    def epilogue(self, e: Epilogue, c: int, dtype: mx.Dtype) -> Epilogue:
        resample = int(self.wants(bool(e.residual_resample)) and e.residual is not None)
        out, fours = self.domain(e.out, even=resample == 1), outputs.in_fours(e)
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

    def domain(self, d: Domain, even: bool) -> Domain:
        """A few tiles, the last of which reach beyond the image, of which a list has most, filled up."""
        listed = self.wants(d.list is not None)
        tile = getattr(self.shape, "tile", d.tile) if listed else d.tile
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


def channels(given: int, fours: bool) -> int:
    """About CHANNELS, in fours or not."""
    return CHANNELS + (0 if fours else given % 4 or 1)


def wide(least: int, fours: bool) -> int:
    """Channels of an array of which some are left out: in fours, or surely not."""
    return least + -least % 4 + (0 if fours else 1)
