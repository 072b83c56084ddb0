"""Random calls: every way to read a plane and to write one, with small arrays of order one.

What decides which kernel runs is a call's structure, one of a few (`structures.py`), so that few kernels are compiled;
all else follows from a seed: sizes, tiles, edges, which operands there are, the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import Attention, Call, Conv, Depthwise, Norm, Paste, Total
from sige_mlx.engine.gpu.ops.blocking import AnyBlocking, WinogradBlocking, divided, narrowed
from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Output
from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source, Tokens
from sige_mlx.engine.gpu.ops.reading import cut, tile_sums
from sige_mlx.engine.gpu.ops.weights import pack
from sige_mlx.engine.gpu.ops.winograd import transformed
from tests.metal.structures import CONVS, DEPTHWISES, NARROW, PHASED, TOTALS, WINOGRAD, Structure


def conv_call(s: Structure, seed: int, dtype: mx.Dtype) -> tuple[Conv, Launch]:
    """A convolution and its launch in the shape of the structure."""
    d = _Draw(s, seed, dtype)
    out, c_out = d.domain(), s.narrow or d.channels(70)
    sources = tuple(d.source(read, out) for read in s.reads)
    call = Conv(d.epilogue(out, c_out), pack(d.weights(c_out, sources)), sources)
    if s.winograd:
        shapes = [(source.kh, source.kw, source.x.c) for source in sources]
        call = replace(call, transformed=transformed(call.weight, c_out, shapes))
    call = call if s.shares is None else call.shared(s.shares)[0]
    return call, _launch(call, s)


def total_call(s: Structure, seed: int, dtype: mx.Dtype) -> Total:
    d = _Draw(s, seed, dtype)
    out, c_out = d.domain(), d.channels(70)
    assert s.shares is not None
    return Total(d.epilogue(out, c_out), d.floats(*out.shape(s.shares * c_out)), dtype)


def phased_call(s: Structure, seed: int, dtype: mx.Dtype) -> tuple[Conv, Launch]:
    """A phased convolution: its planes have half the sides of the domain."""
    d = _Draw(s, seed, dtype)
    out, c_out = d.domain(), d.channels(70)
    shift, sources = int(d.rng.integers(2)), []
    for kh, kw, _ in s.reads:
        plane = d.plane(
            out.n, -(-out.h // 2), -(-out.w // 2), d.channels(40 if s.shares is None else 100), d.pick(1, 2, 4)
        )
        top, left = int(d.rng.integers(2)), int(d.rng.integers(2))
        sources.append(Source(plane, kh, kw, 1, top, left, affine=d.affine(out.n, plane.c), act=d.pick(0, 1)))
    packed = mx.concatenate([pack(d.weights(c_out, tuple(sources))) for _ in range(4)])
    call = Conv(d.epilogue(out, c_out), packed, tuple(sources), shift)
    call = call if s.shares is None else call.shared(s.shares)[0]
    return call, _launch(call, s)


def depthwise_call(s: Structure, seed: int, dtype: mx.Dtype) -> tuple[Depthwise, Launch]:
    d = _Draw(s, seed, dtype)
    out = d.domain()
    source = d.source(s.reads[0], out)
    weight = d.normal(source.kh * source.kw, source.x.c) if d.maybe() else None
    call = Depthwise(d.epilogue(out, source.x.c), weight, source, dtype)
    blocking = call.blocking()
    assert blocking is not None
    launch = call.launch(replace(blocking, bc=s.bk))
    assert launch is not None
    return call, launch


def extreme_call(seed: int, dtype: mx.Dtype) -> Depthwise:
    """Every activation of numbers that are far from one, and of zero."""
    numbers = np.array([0, 1e-6, 1, 20, 60, 79, 81, 88, 90, 128, 1000, 60000], np.float32)
    x = mx.array(np.concatenate([numbers, -numbers]).reshape(1, 1, 3, 8)).astype(dtype)
    out = Domain(1, 1, 3, 1)
    outputs = tuple(Output(act=1 + (seed + i) % 4) for i in range(3))
    return Depthwise(Epilogue(out, 8, outputs), None, Source(Plane(1, 1, 3, 8, 1, x), 1, 1), dtype)


def paste_call(fours: bool, seed: int, dtype: mx.Dtype) -> Paste:
    d = _Draw(Structure(1, fours=fours), seed, dtype)
    n, h, w = (int(d.rng.integers(1, most)) for most in (3, 12, 12))
    return Paste(d.plane(n, h, w, d.channels(40), d.pick(1, 2, 3, 4, 8)))


def norm_call(sources: int, seed: int, dtype: mx.Dtype, followed: bool = False) -> Norm:
    """Sums are those of values with a mean far from zero. `dtype` is that of the modulation. Where recorded statistics
    are `followed`, sums are of some tiles alone, of all sources the same."""
    d = _Draw(Structure(d_tile := 1 + seed % 4), seed, dtype)
    n, h, w = (int(d.rng.integers(least, most)) for least, most in ((1, 3), (4, 12), (4, 12)))
    groups, sums = d.pick(1, 2, 4), []
    widths = [int(d.rng.integers(1, 10)) for _ in range(sources)]
    widths[-1] += -sum(widths) % groups
    before, values = [], []
    for c in widths:
        if not (before and followed):
            rows, grid = d.tiles(n, h, w, d_tile)
        values.append(2 + d.floats(n, h, w, c))
        whole, other = (tile_sums(cut(x, d_tile)) for x in (values[-1], 2 + d.floats(n, h, w, c)))
        base = whole.reshape(*grid.shape, 2 * c)
        if followed:
            listed = mx.array(np.flatnonzero(grid.reshape(-1) >= 0).astype(np.int32))
            blocks, old = (x[listed].reshape(-1, 1, 1, 2 * c) for x in (other, whole))
            before.append(old)
            sums.append(Plane(*grid.shape, 2 * c, 1, None, blocks, mx.array(grid)))
        elif d.maybe() and len(rows):
            blocks = other[mx.array(np.flatnonzero(grid.reshape(-1) >= 0).astype(np.int32))]
            sums.append(Plane(*grid.shape, 2 * c, 1, base, blocks.reshape(-1, 1, 1, 2 * c), mx.array(grid)))
        else:
            sums.append(Plane(*grid.shape, 2 * c, 1, base))
    c = sum(widths)
    weight, bias = (d.floats(c) if d.maybe() else None for _ in range(2))
    mod = 0.3 * d.normal(n, 2 * c)
    taken = n, h * w, groups, tuple(sums), weight, bias, mod if d.maybe() else None, 1e-5, dtype
    if not followed:
        return Norm(*taken)
    of_groups = mx.concatenate(values, -1).reshape(n, h * w, groups, -1)
    return Norm(*taken, mx.stack([of_groups.mean((1, 3)), of_groups.var((1, 3))], axis=1), tuple(before))


def attention_call(head_dim: int, seed: int, dtype: mx.Dtype) -> Attention:
    d = _Draw(Structure(1 + seed % 4), seed, dtype)
    out = d.domain()
    heads, keys = d.pick(1, 3), int(d.rng.integers(1, 80))
    c, unit = heads * head_dim, 4 if head_dim % 4 == 0 else 1
    queries = (out.n, out.h * out.w) if out.list is None else (out.tiles, out.tile**2)

    def tokens(n: int, count: int) -> Tokens:
        """Alone, or with others before and behind."""
        first, beyond = (d.pick(0, 1, 3) * unit for _ in range(2))
        return Tokens(d.normal(n, count, first + c + beyond), first)

    return Attention(out, tokens(*queries), tokens(out.n, keys), tokens(out.n, keys), heads, head_dim, head_dim**-0.5)


Maker = Callable[[int, mx.Dtype], tuple[Call, Launch | None]]

MAKERS: dict[str, Maker] = {
    **{name: lambda seed, dtype, s=s: conv_call(s, seed, dtype) for name, s in (CONVS | NARROW | WINOGRAD).items()},
    **{name: lambda seed, dtype, s=s: phased_call(s, seed, dtype) for name, s in PHASED.items()},
    **{name: lambda seed, dtype, s=s: depthwise_call(s, seed, dtype) for name, s in DEPTHWISES.items()},
    **{name: lambda seed, dtype, s=s: (total_call(s, seed, dtype), None) for name, s in TOTALS.items()},
    "extreme": lambda seed, dtype: (extreme_call(seed, dtype), None),
    "paste": lambda seed, dtype: (paste_call(True, seed, dtype), None),
    "odd paste": lambda seed, dtype: (paste_call(False, seed, dtype), None),
    "norm": lambda seed, dtype: (norm_call(1, seed, dtype), None),
    "norm of three": lambda seed, dtype: (norm_call(3, seed, dtype), None),
    "followed norm": lambda seed, dtype: (norm_call(2, seed, dtype, followed=True), None),
    "attention": lambda seed, dtype: (attention_call(20, seed, dtype), None),
    "sliced attention": lambda seed, dtype: (attention_call(148, seed, dtype), None),
    "wide attention": lambda seed, dtype: (attention_call(300, seed, dtype), None),
    "wider attention": lambda seed, dtype: (attention_call(520, seed, dtype), None),
    "odd attention": lambda seed, dtype: (attention_call(3, seed, dtype), None),
}
"""By name, what makes a call from a seed, and its launch where that is not the usual one."""


def _launch(call: Conv, s: Structure) -> Launch:
    blocking: AnyBlocking | None = divided(call, s.division, (s.bk,))
    if s.narrow or s.winograd:
        blocking = narrowed(call, s.tile, 1, (s.bk,)) if s.narrow else WinogradBlocking(s.winograd or 0)
    assert blocking is not None
    launch = call.launch(blocking)
    assert launch is not None
    return launch


class _Draw:
    """Draws what a structure leaves open."""

    def __init__(self, structure: Structure, seed: int, dtype: mx.Dtype):
        self.s = structure
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def maybe(self) -> bool:
        return bool(self.rng.random() < 0.6)

    def pick(self, *of: int) -> int:
        return int(self.rng.choice(of))

    def channels(self, most: int) -> int:
        c = int(self.rng.integers(1, most))
        return c // 4 * 4 + 4 if self.s.fours else c | 1

    def floats(self, *shape: int) -> mx.array:
        return mx.array(self.rng.standard_normal(shape).astype(np.float32))

    def normal(self, *shape: int) -> mx.array:
        return self.floats(*shape).astype(self.dtype)

    def first(self) -> int:
        """Channels to be left out before those that are used."""
        return self.pick(0, 4) if self.s.fours else self.pick(0, 3)

    def tiles(self, n: int, h: int, w: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """A random list of tiles [N, 3] and its grid."""
        grid = np.full((n, -(-h // tile), -(-w // tile)), -1, np.int32)
        active = self.rng.random(grid.shape) < self.rng.choice([0.3, 0.7, 1.0])
        rows = np.argwhere(active).astype(np.int32)
        grid[active] = np.arange(len(rows))
        return rows, grid

    def domain(self) -> Domain:
        """Dense, or a list: of any tiles, of all, of none, filled up or not."""
        tile = self.s.tile
        n, h, w = self.pick(1, 2), int(self.rng.integers(1, 3 * tile + 3)), int(self.rng.integers(1, 3 * tile + 3))
        kind = self.rng.choice(["dense", "dense", "list", "list", "list", "filled", "filled", "empty"])
        if kind == "dense":
            return Domain(n, h, w, tile)
        rows, _ = self.tiles(n, h, w, tile)
        rows = rows[: 0 if kind == "empty" else None]
        filling = int(self.rng.integers(1, 20)) if kind == "filled" or not len(rows) else 0
        return Domain(n, h, w, tile, mx.array(np.concatenate([rows, np.full((filling, 3), -1, np.int32)])))

    def plane(self, n: int, h: int, w: int, c: int, tile: int) -> Plane:
        """A dense value, or one with recomputed tiles, with or without a base."""
        kind = self.rng.choice(["base", "both", "both", "blocks"])
        base = None if kind == "blocks" else self.normal(n, h, w, c)
        if kind == "base":
            return Plane(n, h, w, c, tile, base)
        rows, grid = self.tiles(n, h, w, tile)
        return Plane(n, h, w, c, tile, base, self.normal(max(1, len(rows)), tile, tile, c), mx.array(grid))

    def affine(self, n: int, c: int) -> Affine | None:
        if not self.maybe():
            return None
        first = self.first()
        shape = (self.pick(1, n, n, n), first + c + 4 * self.pick(0, 1))
        return Affine(mx.stack([1 + 0.2 * self.floats(*shape), 0.3 * self.floats(*shape)]), first)

    def modulation(self, n: int, h: int, w: int, c: int) -> Modulation:
        """One plane for both, or two."""
        first = self.first()
        gamma = self.plane(n, h, w, first + 2 * c, self.s.tile)
        if self.maybe():
            return Modulation(gamma, gamma, first, first + c)
        return Modulation(gamma, self.plane(n, h, w, first + c, self.s.tile), 0, first)

    def source(self, read: tuple[int, int, int], out: Domain) -> Source:
        """A source that `out` can be computed from."""
        kh, kw, stride = read
        resample = self.pick(0, 0, 1, -1)
        pad_top, pad_left = int(self.rng.integers(kh)), int(self.rng.integers(kw))
        wanted = [max(1, (size - 1) * stride + self.pick(0, 1, 2)) for size in (out.h, out.w)]
        h, w = (-(-size // 2) if resample > 0 else size << -resample for size in wanted)
        shown = [size * 2 if resample > 0 else size >> -resample for size in (h, w)]
        below, right = (
            (size - 1) * stride + k - pad - s
            for size, k, pad, s in zip((out.h, out.w), (kh, kw), (pad_top, pad_left), shown, strict=True)
        )
        reflect = self.maybe() and max(pad_top, below) < shown[0] and max(pad_left, right) < shown[1]
        c, mod = self.channels(40 if self.s.shares is None else 100), None
        if self.s.sources_modulated:
            mod = self.modulation(out.n, *shown, c)
        zeros = resample == 1 and mod is None and not reflect and self.maybe()
        plane, affine = self.plane(out.n, h, w, c, self.s.tile), self.affine(out.n, c)
        act = int(self.rng.integers(5))
        return Source(plane, kh, kw, stride, pad_top, pad_left, resample, zeros, reflect, affine, act, mod)

    def weights(self, c_out: int, sources: tuple[Source, ...]) -> list[mx.array]:
        """That keep values of order one."""
        shapes = [(s.kh, s.kw, s.x.c) for s in sources]
        scale = sum(kh * kw * c for kh, kw, c in shapes) ** -0.5
        return [self.normal(c_out, *shape) * mx.array(scale, self.dtype) for shape in shapes]

    def epilogue(self, out: Domain, c: int) -> Epilogue:
        outputs = []
        for _ in range(self.s.outputs):
            # A kernel that takes modulations may find none for some of the outputs.
            wanted = self.s.outputs_modulated and (not outputs or self.maybe())
            mod = self.modulation(out.n, out.h, out.w, c) if wanted else None
            outputs.append(Output(self.affine(out.n, c), mod, int(self.rng.integers(5))))
        residual, resample = None, 0
        if self.s.residual:
            resample = int(out.h % 2 == out.w % 2 == 0 and self.maybe())
            residual = self.plane(out.n, out.h >> resample, out.w >> resample, c, self.s.tile)
        bias = self.floats(c) if self.maybe() else None
        vec = self.normal(self.pick(1, out.n, out.n), c) if self.maybe() else None
        return Epilogue(out, c, tuple(outputs), bias, vec, residual, resample, self.s.sums)
