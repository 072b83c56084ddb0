"""Reading planes through tile tables, in plain MLX: what `metal/plane.h` does."""

import mlx.core as mx
import mlx.nn

from sige_mlx.engine.gpu.calls import Affine, Domain, Output, Plane, Source


def activate(x: mx.array, act: int) -> mx.array:
    """An activation by the number a program gives it."""
    if act == 0:
        return x
    activations = {
        1: mlx.nn.silu,
        2: mlx.nn.relu,
        3: lambda v: mlx.nn.leaky_relu(v, 0.2),
        4: mx.tanh,
    }
    return activations[act](x)


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
    """The whole plane [n, h, w, c], pixels of the base normalised as they are read."""
    whole = Domain(x.n, x.h, x.w, x.tile)
    if x.blocks is None:
        assert x.base is not None
        return activate(affine(x.base, a), act)
    return windows(Source(x, 1, 1, affine=a, act=act), whole)


def windows(s: Source, out: Domain) -> mx.array:
    """What the pixels of `out` see of a source, in float32: for a list of tiles [tiles, height, width, c], for a dense
    domain [n, height, width, c] of the padded image; pixels beyond a border are zero, or mirrored."""
    if out.list is None:
        images = mx.arange(out.n)[:, None, None]
        rows, columns = mx.zeros((1,), mx.int32), mx.zeros((1,), mx.int32)
        height, width = (out.h - 1) * s.stride + s.kh, (out.w - 1) * s.stride + s.kw
    else:
        images, rows, columns = out.list[:, 0][:, None, None], out.list[:, 1], out.list[:, 2]
        height, width = (out.tile - 1) * s.stride + s.kh, (out.tile - 1) * s.stride + s.kw
    step = out.tile * s.stride
    y = (rows * step - s.pad_top)[:, None, None] + mx.arange(height)[:, None]
    x = (columns * step - s.pad_left)[:, None, None] + mx.arange(width)
    y, y_inside = _resampled(y, s.x.h, s)
    x, x_inside = _resampled(x, s.x.w, s)
    inside = y_inside & x_inside & (images >= 0)
    return pixels(s.x, mx.maximum(images, 0), y, x, inside, s.affine, s.act)


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


def outputs(value: mx.array, out: Domain, of: tuple[Output, ...], dtype: mx.Dtype) -> list[mx.array]:
    """The outputs of an epilogue for `value` float32, shaped as `out` is written."""
    image, y, x, inside = coordinates(out)
    results = []
    for o in of:
        result = affine(value, o.affine, None if out.list is None else image)
        if o.mod is not None:
            gamma, beta = mx.split(pixels(o.mod, image, y, x, inside), 2, axis=-1)
            result = result * (1 + gamma) + beta
        result = activate(result, o.act)
        results.append((result if out.list is None else mx.where(inside[..., None], result, 0.0)).astype(dtype))
    return results


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


def _resampled(at: mx.array, size: int, s: Source) -> tuple[mx.array, mx.array]:
    """Coordinates on the plane that is stored, clamped into it, and whether they lie inside."""
    shown = size << s.resample if s.resample > 0 else size >> -s.resample
    if s.reflect:
        at = mx.abs(at)
        at = mx.where(at >= shown, 2 * (shown - 1) - at, at)
    inside = (at >= 0) & (at < shown)
    at = mx.clip(at, 0, shown - 1)
    return at >> s.resample if s.resample > 0 else at << -s.resample, inside
