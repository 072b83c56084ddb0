"""A small call with random arrays that runs the same kernel as another: what a kernel is tried on."""

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
    Paste,
    Plane,
    Source,
    Tokens,
)
from sige_mlx.engine.gpu.reading import tile_sums
from sige_mlx.engine.gpu.weights import pack
from sige_mlx.engine.gpu.winograd import transformed

CHANNELS, TOKENS = 40, 40
"""More than one step of any loop over channels, or keys."""


def sample(call: Call) -> Call:
    """The same call on a few tiles and channels: what it reads and writes, and how, is as it was."""
    return _Sample().of(call)


class _Sample:
    def __init__(self) -> None:
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
        return Paste(self.plane(x, min(x.n, 2), 2 * x.tile + 1, x.tile, few(x.c)))

    def conv(self, call: Conv) -> Conv:
        epilogue = self.epilogue(call.epilogue)
        double = 1 if call.phase_shift is None else 2
        sources = tuple(self.source(s, epilogue.out, few(s.x.c), double) for s in call.sources)
        parts = [self.normal(epilogue.c_out, s.kh, s.kw, s.x.c, dtype=call.weight.dtype) for s in sources]
        packed = pack([w * mx.array(w[0].size ** -0.5, w.dtype) for w in parts])
        small = replace(
            call, epilogue=epilogue, sources=sources, weight=packed if double == 1 else mx.concatenate([packed] * 4)
        )
        if call.transformed is None:
            return small
        shapes = [(s.kh, s.kw, s.x.c) for s in sources]
        return replace(small, transformed=transformed(packed, epilogue.c_out, shapes))

    def depthwise(self, call: Depthwise) -> Depthwise:
        epilogue = self.epilogue(call.epilogue)
        source = self.source(call.source, epilogue.out, epilogue.c_out, 1)
        taps = source.kh * source.kw
        weight = None if call.weight is None else self.normal(taps, epilogue.c_out, dtype=call.weight.dtype)
        return replace(call, epilogue=epilogue, source=source, weight=weight)

    def norm(self, call: Norm) -> Norm:
        n, pixels, c = min(call.n, 2), 6 * 16, call.channels
        planes = []
        for s in call.sums:
            everything = tile_sums(1 + self.normal(n, 8, 12, s.c // 2), Domain(n, 8, 12, 4))
            base = everything.reshape(n, 2, 3, s.c) if s.base is not None else None
            blocks, grid = None, None
            if s.blocks is not None:
                blocks, grid = everything[:2].reshape(2, 1, 1, s.c), self.grid(n, 2, 3)
            planes.append(Plane(n, 2, 3, s.c, 1, base, blocks, grid))
        return replace(
            call,
            n=n,
            pixels=pixels,
            sums=tuple(planes),
            weight=None if call.weight is None else self.normal(c),
            bias=None if call.bias is None else self.normal(c),
            mod=None if call.mod is None else self.normal(n, 2 * c, dtype=call.mod.dtype),
        )

    def attention(self, call: Attention) -> Attention:
        out = self.domain(call.out)
        queries = (out.n, out.h * out.w) if out.list is None else (out.tiles, out.tile**2)
        k, v = (self.tokens(t, out.n, TOKENS) for t in (call.k, call.v))
        return replace(call, out=out, q=self.tokens(call.q, *queries), k=k, v=v)

    def tokens(self, t: Tokens, n: int, count: int) -> Tokens:
        return Tokens(self.normal(n, count, t.array.shape[-1], dtype=t.array.dtype), t.first)

    def epilogue(self, e: Epilogue) -> Epilogue:
        out, c = self.domain(e.out), few(e.c_out)
        size = (out.n, out.h, out.w)
        residual = None
        if e.residual is not None:
            r = e.residual_resample
            residual = self.plane(e.residual, out.n, out.h >> r, out.w >> r, c)
        outputs = tuple(
            replace(o, affine=self.affine(o.affine, out.n, c), mod=self.modulation(o.mod, size, c)) for o in e.outputs
        )
        return replace(
            e,
            out=out,
            c_out=c,
            outputs=outputs,
            bias=None if e.bias is None else self.normal(c),
            vec=None if e.vec is None else self.normal(min(len(e.vec), out.n), c, dtype=e.vec.dtype),
            residual=residual,
        )

    def source(self, s: Source, out: Domain, c: int, double: int) -> Source:
        h, w = out.h // double * s.stride, out.w // double * s.stride
        shown = (out.n, h, w)
        if s.resample > 0:
            h, w = h // 2, w // 2
        else:
            h, w = h << -s.resample, w << -s.resample
        plane = self.plane(s.x, out.n, h, w, c)
        return replace(s, x=plane, affine=self.affine(s.affine, out.n, c), mod=self.modulation(s.mod, shown, c))

    def domain(self, d: Domain) -> Domain:
        """Three tiles by two, of which a list has four; in even numbers of pixels."""
        n, side = min(d.n, 2), max(d.tile, 4)
        h, w = 3 * side, 2 * side
        if d.list is None:
            return Domain(n, h, w, d.tile)
        rows = np.array([(0, 0, 0), (0, 1, 1), (n - 1, 2, 0), (n - 1, 2, 1), (-1, -1, -1)], np.int32)
        return Domain(n, h, w, d.tile, mx.array(rows))

    def plane(self, p: Plane, n: int, h: int, w: int, c: int) -> Plane:
        dtype = next(a for a in (p.base, p.blocks) if a is not None).dtype
        base = None if p.base is None else self.normal(n, h, w, c, dtype=dtype)
        if p.blocks is None:
            return Plane(n, h, w, c, p.tile, base)
        blocks = self.normal(2, p.tile, p.tile, c, dtype=dtype)
        return Plane(n, h, w, c, p.tile, base, blocks, self.grid(n, -(-h // p.tile), -(-w // p.tile)))

    def grid(self, n: int, h: int, w: int) -> mx.array:
        """Two blocks, in the first image's first tile and the last one's last."""
        grid = np.full((n, h, w), -1, np.int32)
        grid[0, 0, 0] = 0
        grid[-1, -1, -1] = 1
        return mx.array(grid)

    def affine(self, a: Affine | None, n: int, c: int) -> Affine | None:
        if a is None:
            return None
        first = a.first % 4
        channels = first + c if (first + c) % 4 == 0 or a.array.shape[-1] % 4 else first + c + 4 - (first + c) % 4
        images = min(a.array.shape[1], n)
        array = mx.stack([1 + 0.2 * self.normal(images, channels), self.normal(images, channels)])
        return Affine(array, first)

    def modulation(self, m: Modulation | None, size: tuple[int, int, int], c: int) -> Modulation | None:
        if m is None:
            return None
        first = m.gamma_first % 4, m.beta_first % 4
        wide = [f + c + (-(f + c) % 4 if p.c % 4 == 0 else 0) for f, p in zip(first, (m.gamma, m.beta), strict=True)]
        gamma, beta = (self.plane(p, *size, c) for p, c in zip((m.gamma, m.beta), wide, strict=True))
        return Modulation(gamma, beta, *first)

    def normal(self, *shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
        return mx.array(self.rng.standard_normal(shape).astype(np.float32)).astype(dtype)


def few(channels: int) -> int:
    """At most about CHANNELS, in fours if they were."""
    return channels if channels <= CHANNELS else CHANNELS + channels % 4
