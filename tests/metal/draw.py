"""Random calls: every way to read a plane and to write one, with small arrays of order one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
from hypothesis import strategies as st

from sige_mlx.engine.gpu.calls import (
    Affine,
    Attention,
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
)
from sige_mlx.engine.gpu.reading import tile_sums
from sige_mlx.engine.gpu.weights import pack

CHANNELS = st.sampled_from([1, 3, 4, 8, 12, 17, 20, 36])
TILES = st.sampled_from([1, 2, 3, 4, 5, 8])


class Arrays:
    """Draws arrays: contents from a seed, so that hypothesis only chooses shapes."""

    def __init__(self, seed: int, dtype: mx.Dtype = mx.float32):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def normal(self, *shape: int, dtype: mx.Dtype | None = None) -> mx.array:
        return mx.array(self.rng.standard_normal(shape).astype(np.float32)).astype(dtype or self.dtype)

    def tiles(self, n: int, h: int, w: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """A random list of tiles [N, 3] and its grid."""
        grid = np.full((n, -(-h // tile), -(-w // tile)), -1, np.int32)
        active = self.rng.random(grid.shape) < self.rng.choice([0.2, 0.6, 1.0])
        rows = np.argwhere(active).astype(np.int32)
        grid[active] = np.arange(len(rows))
        return rows, grid

    def affine(self, n: int, first: int, c: int) -> Affine:
        images = n if self.rng.random() < 0.7 else 1
        scale = 1 + 0.2 * self.normal(images, first + c + 4 * int(self.rng.integers(2)), dtype=mx.float32)
        return Affine(mx.stack([scale, 0.3 * self.normal(*scale.shape, dtype=mx.float32)]), first)


@st.composite
def planes(draw: st.DrawFn, arrays: Arrays, n: int, h: int, w: int, c: int, tile: int) -> Plane:
    """A dense value, or one with recomputed tiles, with or without a base."""
    kind = draw(st.sampled_from(["base", "both", "both", "blocks"]))
    base = None if kind == "blocks" else arrays.normal(n, h, w, c)
    if kind == "base":
        return Plane(n, h, w, c, tile, base)
    rows, grid = arrays.tiles(n, h, w, tile)
    blocks = arrays.normal(max(1, len(rows)), tile, tile, c)
    return Plane(n, h, w, c, tile, base, blocks, mx.array(grid))


@st.composite
def domains(draw: st.DrawFn, arrays: Arrays, n: int, tile: int) -> Domain:
    h, w = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    kind = draw(st.sampled_from(["dense", "list", "list", "filled", "empty"]))
    if kind == "dense":
        return Domain(n, h, w, tile)
    rows, _ = arrays.tiles(n, h, w, tile)
    rows = rows[: 0 if kind == "empty" else None]
    filling = np.full((draw(st.integers(1, 20)) if kind == "filled" or not len(rows) else 0, 3), -1, np.int32)
    return Domain(n, h, w, tile, mx.array(np.concatenate([rows, filling])))


@st.composite
def sources(draw: st.DrawFn, arrays: Arrays, out: Domain, kernels: Any = (1, 2, 3, 3, 5)) -> Source:
    """A source that `out` can be computed from."""
    kh, kw = draw(st.sampled_from(kernels)), draw(st.sampled_from(kernels))
    stride = draw(st.sampled_from([1, 1, 2]))
    resample = draw(st.sampled_from([0, 0, 1, -1, -2]))
    pad_top, pad_left = draw(st.integers(0, kh - 1)), draw(st.integers(0, kw - 1))
    shown = [max(1, (size - 1) * stride + draw(st.integers(0, 2))) for size in (out.h, out.w)]
    h, w = ((-(-s // 2)) if resample > 0 else s << -resample for s in shown)
    far = (h * 2 if resample > 0 else h >> -resample), (w * 2 if resample > 0 else w >> -resample)
    beyond = max(pad_top, (out.h - 1) * stride + kh - pad_top - far[0]), max(
        pad_left, (out.w - 1) * stride + kw - pad_left - far[1]
    )
    reflect = draw(st.booleans()) and beyond[0] < far[0] and beyond[1] < far[1]
    c, mod = draw(CHANNELS), None
    if draw(st.sampled_from([False, False, True])):
        mod = draw(modulations(arrays, out.n, *far, c, out.tile))
    return Source(
        draw(planes(arrays, out.n, h, w, c, out.tile)),
        kh,
        kw,
        stride,
        pad_top,
        pad_left,
        resample,
        resample == 1 and mod is None and not reflect and draw(st.booleans()),
        reflect,
        arrays.affine(out.n, draw(st.sampled_from([0, 4, 3])), c) if draw(st.booleans()) else None,
        draw(st.integers(0, 4)),
        mod,
    )


@st.composite
def modulations(draw: st.DrawFn, arrays: Arrays, n: int, h: int, w: int, c: int, tile: int) -> Modulation:
    """One plane for both, or two."""
    first = draw(st.sampled_from([0, 4, 3]))
    gamma = draw(planes(arrays, n, h, w, first + 2 * c, tile))
    if draw(st.booleans()):
        return Modulation(gamma, gamma, first, first + c)
    return Modulation(gamma, draw(planes(arrays, n, h, w, first + c, tile)), 0, first)


@st.composite
def outputs(draw: st.DrawFn, arrays: Arrays, out: Domain, c: int) -> Output:
    mod = draw(modulations(arrays, out.n, out.h, out.w, c, out.tile)) if draw(st.booleans()) else None
    affine = arrays.affine(out.n, draw(st.sampled_from([0, 4, 3])), c) if draw(st.booleans()) else None
    return Output(affine, mod, draw(st.integers(0, 4)))


@st.composite
def epilogues(draw: st.DrawFn, arrays: Arrays, out: Domain, c: int) -> Epilogue:
    n, residual, resample = out.n, None, 0
    if draw(st.booleans()):
        resample = int(out.h % 2 == out.w % 2 == 0 and draw(st.booleans()))
        residual = draw(planes(arrays, n, out.h >> resample, out.w >> resample, c, out.tile))
    return Epilogue(
        out,
        c,
        tuple(draw(outputs(arrays, out, c)) for _ in range(draw(st.integers(1, 3)))),
        arrays.normal(c, dtype=mx.float32) if draw(st.booleans()) else None,
        arrays.normal(draw(st.sampled_from([1, n])), c) if draw(st.booleans()) else None,
        residual,
        resample,
        draw(st.booleans()),
    )


@st.composite
def convs(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Conv:
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    out = draw(domains(arrays, draw(st.integers(1, 2)), draw(TILES)))
    c_out = draw(st.sampled_from([1, 3, 4, 12, 33, 40, 68]))
    read = tuple(draw(sources(arrays, out)) for _ in range(draw(st.sampled_from([1, 1, 2, 3]))))
    return Conv(draw(epilogues(arrays, out, c_out)), pack(weights(arrays, c_out, read)), read)


@st.composite
def phased(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Conv:
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    out = draw(domains(arrays, draw(st.integers(1, 2)), draw(st.sampled_from([2, 4, 6, 8]))))
    shift, k = draw(st.sampled_from([(0, 2), (1, 2), (1, 1), (0, 3)]))
    c_out, read = draw(st.sampled_from([3, 12, 40])), []
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        c = draw(CHANNELS)
        plane = draw(planes(arrays, out.n, -(-out.h // 2), -(-out.w // 2), c, draw(st.sampled_from([1, 2, 4]))))
        affine = arrays.affine(out.n, 4, c) if draw(st.booleans()) else None
        read.append(Source(plane, k, k, 1, draw(st.integers(0, 1)), draw(st.integers(0, 1)), affine=affine, act=1))
    packed = mx.concatenate([pack(weights(arrays, c_out, read)) for _ in range(4)])
    return Conv(draw(epilogues(arrays, out, c_out)), packed, tuple(read), shift)


def weights(arrays: Arrays, c_out: int, read: Sequence[Source]) -> list[mx.array]:
    """That keep values of order one."""
    shapes = [(s.kh, s.kw, s.x.c) for s in read]
    scale = sum(kh * kw * c for kh, kw, c in shapes) ** -0.5
    return [arrays.normal(c_out, *shape) * mx.array(scale, arrays.dtype) for shape in shapes]


@st.composite
def depthwises(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Depthwise:
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    out = draw(domains(arrays, draw(st.integers(1, 2)), draw(TILES)))
    source = draw(sources(arrays, out))
    c = source.x.c
    weight = arrays.normal(source.kh * source.kw, c) if draw(st.booleans()) else None
    return Depthwise(draw(epilogues(arrays, out, c)), weight, source, dtype)


@st.composite
def pastes(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Paste:
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    n, h, w = draw(st.integers(1, 2)), draw(st.integers(1, 11)), draw(st.integers(1, 11))
    return Paste(draw(planes(arrays, n, h, w, draw(CHANNELS), draw(TILES))))


@st.composite
def norms(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Norm:
    """Sums are those of random values with a mean far from zero."""
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    n, h, w, tile = draw(st.integers(1, 2)), draw(st.integers(4, 11)), draw(st.integers(4, 11)), draw(TILES)
    groups, sums = draw(st.sampled_from([1, 2, 4])), []
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    widths[-1] += -sum(widths) % groups
    for c in widths:
        rows, grid = arrays.tiles(n, h, w, tile)
        everything = Domain(n, h, w, tile)
        base, other = (tile_sums(2 + arrays.normal(n, h, w, c, dtype=mx.float32), everything) for _ in range(2))
        gh, gw = grid.shape[1:]
        blocks = other[mx.array(np.flatnonzero(grid.reshape(-1) >= 0).astype(np.int32))] if len(rows) else other[:1]
        plane = Plane(n, gh, gw, 2 * c, 1, base.reshape(n, gh, gw, 2 * c))
        if draw(st.booleans()):
            plane = replace(plane, blocks=blocks.reshape(-1, 1, 1, 2 * c), grid=mx.array(grid))
        sums.append(plane)
    c = sum(widths)
    return Norm(
        n,
        h * w,
        groups,
        tuple(sums),
        1 + 0.2 * arrays.normal(c, dtype=mx.float32) if draw(st.booleans()) else None,
        arrays.normal(c, dtype=mx.float32) if draw(st.booleans()) else None,
        0.3 * arrays.normal(draw(st.sampled_from([1, n])), 2 * c) if draw(st.booleans()) else None,
        1e-5,
    )


@st.composite
def attentions(draw: st.DrawFn, dtype: mx.Dtype = mx.float32) -> Attention:
    arrays = Arrays(draw(st.integers(0, 2**16)), dtype)
    n, h, w, tile = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(TILES)
    heads, d = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 8, 16, 20, 64]))
    k, v = arrays.normal(n, h * w, heads * d), arrays.normal(n, h * w, heads * d)
    out = draw(st.sampled_from([Domain(n, h, w, tile), draw(domains(arrays, n, tile))]))
    shape = (n, out.h * out.w) if out.list is None else (out.tiles, tile**2)
    return Attention(out, arrays.normal(*shape, heads * d), k, v, heads, d, d**-0.5)
