"""Reading planes in plain MLX, tile by tile: what `metal/plane.h` and `windows.h` do."""

from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source
from sige_mlx.nn.ops import ACTIVATIONS


def activate(x: mx.array, act: int) -> mx.array:
    """An activation by the number a program gives it."""
    activation = ACTIVATIONS[act]
    return x if activation is None else activation([x], {})


def affine(x: mx.array, a: Affine | None, image: mx.array) -> mx.array:
    """x * scale + shift in float32, for pixels [..., c] of the images `image`."""
    x = x.astype(mx.float32)
    if a is None:
        return x
    scale, shift = a.array[:, :, a.first : a.first + x.shape[-1]]
    return x * scale[0] + shift[0] if scale.shape[0] == 1 else x * scale[image] + shift[image]


def listed(out: Domain) -> Domain:
    """The same pixels as a list of tiles."""
    if out.list is not None:
        return out
    grid = np.ones((out.n, -(-out.h // out.tile), -(-out.w // out.tile)))
    return replace(out, list=mx.array(np.argwhere(grid).astype(np.int32, order="C")))


def cut(x: mx.array, tile: int) -> mx.array:
    """A plane [n, h, w, c] as blocks [tiles, tile, tile, c], zero beyond its borders."""
    n, h, w, c = x.shape
    x = mx.pad(x, [(0, 0), (0, -h % tile), (0, -w % tile), (0, 0)])
    x = x.reshape(n, -(-h // tile), tile, -(-w // tile), tile, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, tile, tile, c)


def assembled(blocks: mx.array, out: Domain) -> mx.array:
    """The plane [n, h, w, c] of all tiles of a domain."""
    side, c = out.tile, blocks.shape[-1]
    x = blocks.reshape(out.n, -(-out.h // side), -(-out.w // side), side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(out.n, -(-out.h // side) * side, -1, c)[:, : out.h, : out.w]


def whole(p: Plane) -> mx.array:
    """A plane [n, h, w, c] in float32, its blocks over its base."""
    if p.blocks is None:
        assert p.base is not None
        return p.base.astype(mx.float32)
    image, y, x = mx.arange(p.n)[:, None, None], mx.arange(p.h)[:, None], mx.arange(p.w)
    return pixels(p, image, y, x, mx.array(True))


def windows(s: Source, out: Domain) -> mx.array:
    """What the tiles of a list read of a source, float32 [tiles, height, width, c]; pixels beyond a border are zero, or
    mirrored."""
    assert out.list is not None
    side, step = (out.tile - 1) * s.stride, out.tile * s.stride
    image, rows, columns = (out.list[:, i][:, None, None] for i in range(3))
    y = rows * step - s.pad_top + mx.arange(side + s.kh)[:, None]
    x = columns * step - s.pad_left + mx.arange(side + s.kw)
    y, y_inside = _within(y, s.x.h << s.resample if s.resample > 0 else s.x.h >> -s.resample, s.reflect)
    x, x_inside = _within(x, s.x.w << s.resample if s.resample > 0 else s.x.w >> -s.resample, s.reflect)
    inside = y_inside & x_inside & (image >= 0)
    if s.zeros:
        inside = inside & (y % 2 == 0) & (x % 2 == 0)
    image = mx.maximum(image, 0)
    if s.mod is None:
        return pixels(s.x, image, _stored(y, s.resample), _stored(x, s.resample), inside, s.affine, s.act)
    value = pixels(s.x, image, _stored(y, s.resample), _stored(x, s.resample), inside)
    value = affine(value, s.affine, mx.broadcast_to(image, value.shape[:3]))
    there = _recorded(s.x, image, _stored(y, s.resample), _stored(x, s.resample), inside)
    value = activate(modulated(value, s.mod, image, y, x, inside), s.act)
    return mx.where(there[..., None], value, 0.0)


def modulated(value: mx.array, m: Modulation, image: mx.array, y: mx.array, x: mx.array, inside: mx.array) -> mx.array:
    """value * (1 + gamma) + beta at the given pixels."""
    c = value.shape[-1]
    gamma = pixels(m.gamma, image, y, x, inside)[..., m.gamma_first : m.gamma_first + c]
    beta = pixels(m.beta, image, y, x, inside)[..., m.beta_first : m.beta_first + c]
    return value * (1 + gamma) + beta


def pixels(
    p: Plane, image: mx.array, y: mx.array, x: mx.array, inside: mx.array, a: Affine | None = None, act: int = 0
) -> mx.array:
    """Pixels of a plane in float32, `[..., c]` for coordinates that broadcast to `[...]`; zero where not `inside`."""
    image, y, x, inside = mx.broadcast_arrays(image, y, x, inside)
    value = mx.zeros((*y.shape, p.c))
    if p.base is not None:
        value = activate(affine(p.base[image, y, x], a, image), act)
    if p.blocks is not None and p.blocks.shape[0]:  # MLX takes nothing out of an empty array
        assert p.grid is not None
        block = p.grid[image, y // p.tile, x // p.tile]
        found = p.blocks[mx.maximum(block, 0), y % p.tile, x % p.tile].astype(mx.float32)
        value = mx.where((block >= 0)[..., None], found, value)
    return mx.where(inside[..., None], value, 0.0)


def residual(p: Plane, resample: int, out: Domain) -> mx.array:
    """A residual at the pixels of a list of tiles."""
    image, y, x, inside = coordinates(out)
    return pixels(p, image, _stored(y, resample), _stored(x, resample), inside)


def coordinates(out: Domain) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Image, row and column of every pixel of a list of tiles, clamped into the image, and whether it lies inside."""
    assert out.list is not None
    image, rows, columns = (out.list[:, i][:, None, None] for i in range(3))
    y = rows * out.tile + mx.arange(out.tile)[:, None]
    x = columns * out.tile + mx.arange(out.tile)
    inside = (image >= 0) & (y < out.h) & (x < out.w)
    return mx.maximum(image, 0), mx.clip(y, 0, out.h - 1), mx.clip(x, 0, out.w - 1), inside


def tile_sums(blocks: mx.array) -> mx.array:
    """Sum and sum of squares over each block, [tiles, 2, c]."""
    value = blocks.reshape(blocks.shape[0], -1, blocks.shape[-1])
    return mx.stack([value.sum(1), value.square().sum(1)], axis=1)


def _stored(at: mx.array, resample: int) -> mx.array:
    return at >> resample if resample > 0 else at << -resample


def _within(at: mx.array, size: int, reflect: bool) -> tuple[mx.array, mx.array]:
    """Coordinates on a plane of `size`, mirrored where that is asked for, clamped into it; and whether they were in."""
    if reflect:
        at = mx.abs(at)
        at = mx.where(at >= size, 2 * (size - 1) - at, at)
    return mx.clip(at, 0, size - 1), (at >= 0) & (at < size)


def _recorded(p: Plane, image: mx.array, y: mx.array, x: mx.array, inside: mx.array) -> mx.array:
    """Whether a plane holds the pixels at all: without a base it has those of its blocks only."""
    if p.base is not None or p.grid is None:
        return mx.broadcast_arrays(image, y, x, inside)[3]
    return inside & (p.grid[image, y // p.tile, x // p.tile] >= 0)
