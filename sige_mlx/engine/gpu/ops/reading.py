"""Reading planes and writing outputs in plain MLX: what `metal/plane.h`, `windows.h` and `epilogue.h` do."""

import mlx.core as mx

from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source
from sige_mlx.nn.ops import ACTIVATIONS


def activate(x: mx.array, act: int) -> mx.array:
    """An activation by the number a program gives it."""
    activation = ACTIVATIONS[act]
    return x if activation is None else activation([x], {})


def affine(x: mx.array, a: Affine | None, image: mx.array | None = None) -> mx.array:
    """x * scale + shift in float32, for x [n, h, w, c], or for pixels [..., c] of the images `image`."""
    x = x.astype(mx.float32)
    if a is None:
        return x
    scale, shift = a.array[:, :, a.first : a.first + x.shape[-1]]
    if scale.shape[0] == 1:
        return x * scale[0] + shift[0]
    if image is None:
        return x * scale[:, None, None] + shift[:, None, None]
    return x * scale[image] + shift[image]


def pasted(x: Plane, a: Affine | None = None, act: int = 0) -> mx.array:
    """The whole plane [n, h, w, c] in float32, pixels of the base normalised."""
    if x.blocks is None:
        assert x.base is not None
        return activate(affine(x.base, a), act)
    image, row, column, inside = coordinates(Domain(x.n, x.h, x.w, x.tile))
    return pixels(x, image, row, column, inside, a, act)


def seen(s: Source) -> mx.array:
    """The whole of a source's plane, read and resampled, in float32."""
    if s.mod is None:
        return resampled(pasted(s.x, s.affine, s.act), s.resample, s.zeros)
    x = resampled(affine(pasted(s.x), s.affine), s.resample)
    c = s.x.c
    gamma = pasted(s.mod.gamma)[..., s.mod.gamma_first : s.mod.gamma_first + c]
    beta = pasted(s.mod.beta)[..., s.mod.beta_first : s.mod.beta_first + c]
    there = _recorded(s.x, *coordinates(Domain(s.x.n, s.x.h, s.x.w, s.x.tile)))
    there = resampled(mx.broadcast_to(there, (s.x.n, s.x.h, s.x.w))[..., None], s.resample)
    return mx.where(there, activate(x * (1 + gamma) + beta, s.act), 0.0)


def resampled(x: mx.array, resample: int, zeros: bool = False) -> mx.array:
    """[n, h, w, c] twice as large, every pixel fourfold or with zeros between, or with every 2^-resample-th pixel."""
    if resample == 0:
        return x
    if resample < 0:
        return x[:, :: 1 << -resample, :: 1 << -resample]
    n, h, w, c = x.shape
    x = x[:, :, None, :, None]
    if zeros:
        x = mx.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)])
    return mx.broadcast_to(x, (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)


def windows(s: Source, out: Domain) -> mx.array:
    """What the pixels of `out` read of a source, in float32: for a list of tiles [tiles, height, width, c], for a dense
    domain [n, height, width, c]; pixels beyond a border are zero, or mirrored."""
    if out.list is None:
        x = _extended(seen(s), 1, s.pad_top, (out.h - 1) * s.stride + s.kh, s.reflect)
        return _extended(x, 2, s.pad_left, (out.w - 1) * s.stride + s.kw, s.reflect)
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
    if p.blocks is not None:
        assert p.grid is not None
        block = p.grid[image, y // p.tile, x // p.tile]
        found = p.blocks[mx.maximum(block, 0), y % p.tile, x % p.tile].astype(mx.float32)
        value = mx.where((block >= 0)[..., None], found, value)
    return mx.where(inside[..., None], value, 0.0)


def residual(p: Plane, resample: int, out: Domain) -> mx.array:
    """A residual at the pixels of `out`."""
    image, y, x, inside = coordinates(out)
    if out.list is None:
        return resampled(pasted(p), resample)
    return pixels(p, image, _stored(y, resample), _stored(x, resample), inside)


def coordinates(out: Domain) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Image, row and column of every pixel that is written, clamped into the image, and whether it lies inside."""
    if out.list is None:
        image, y, x = mx.arange(out.n)[:, None, None], mx.arange(out.h)[:, None], mx.arange(out.w)
        return image, y, x, mx.array(True)
    image, rows, columns = (out.list[:, i][:, None, None] for i in range(3))
    y = rows * out.tile + mx.arange(out.tile)[:, None]
    x = columns * out.tile + mx.arange(out.tile)
    inside = (image >= 0) & (y < out.h) & (x < out.w)
    return mx.maximum(image, 0), mx.clip(y, 0, out.h - 1), mx.clip(x, 0, out.w - 1), inside


def tile_sums(value: mx.array, out: Domain) -> mx.array:
    """Sum and sum of squares over each tile, [tiles, 2, c], of a value [n, h, w, c] or blocks."""
    c = value.shape[-1]
    if out.list is None:
        gh, gw = -(-out.h // out.tile), -(-out.w // out.tile)
        value = mx.pad(value, [(0, 0), (0, gh * out.tile - out.h), (0, gw * out.tile - out.w), (0, 0)])
        value = value.reshape(out.n, gh, out.tile, gw, out.tile, c).transpose(0, 1, 3, 2, 4, 5)
    value = value.reshape(out.tiles, -1, c)
    return mx.stack([value.sum(1), value.square().sum(1)], axis=1)


def _stored(at: mx.array, resample: int) -> mx.array:
    return at >> resample if resample > 0 else at << -resample


def _within(at: mx.array, size: int, reflect: bool) -> tuple[mx.array, mx.array]:
    """Coordinates on a plane of `size`, mirrored where that is asked for, clamped into it; and whether they were in."""
    if reflect:
        at = mx.abs(at)
        at = mx.where(at >= size, 2 * (size - 1) - at, at)
    return mx.clip(at, 0, size - 1), (at >= 0) & (at < size)


def _extended(x: mx.array, axis: int, before: int, total: int, reflect: bool) -> mx.array:
    """`total` rows of a plane, of which `before` lie before its first."""
    size = x.shape[axis]
    after = total - before - size
    if before >= 0 and not reflect:
        x = x if after >= 0 else mx.split(x, [size + after], axis)[0]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (before, max(after, 0))
        return mx.pad(x, widths)
    at, inside = _within(mx.arange(total) - before, size, reflect)
    shape = [1] * x.ndim
    shape[axis] = total
    return mx.where(inside.reshape(shape), mx.take(x, at, axis), 0.0)


def _recorded(p: Plane, image: mx.array, y: mx.array, x: mx.array, inside: mx.array) -> mx.array:
    """Whether a plane holds the pixels at all: without a base it has those of its blocks only."""
    if p.base is not None or p.grid is None:
        return mx.broadcast_arrays(image, y, x, inside)[3]
    return inside & (p.grid[image, y // p.tile, x // p.tile] >= 0)
