"""Every call in plain MLX: what checks the kernels, replaces one that fails, and runs dense passes."""

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx

from sige_mlx.engine.gpu import reading
from sige_mlx.engine.gpu.calls import Attention, Call, Conv, Depthwise, Epilogue, Norm, Paste, Source
from sige_mlx.engine.gpu.weights import unpack


def run(call: Call) -> list[mx.array]:
    """The arrays a call gives: an epilogue's outputs, then its sums; one array for all others."""
    if isinstance(call, Conv):
        return conv(call)
    if isinstance(call, Depthwise):
        return depthwise(call)
    if isinstance(call, Norm):
        return [norm(call)]
    if isinstance(call, Attention):
        return [attention(call)]
    return [paste(call)]


def conv(call: Conv) -> list[mx.array]:
    e = call.epilogue
    if call.phase_shift is not None:
        return epilogue(_phased(call, call.phase_shift), e, call.weight.dtype)
    seen = [reading.windows(s, e.out).astype(call.weight.dtype) for s in call.sources]
    # As a kernel read backwards from reversed weights it is the same convolution, and MLX takes its direct way.
    direct = any(by_winograd(x.shape, e.c_out, s) for x, s in zip(seen, call.sources, strict=True))
    direct = direct and call.weight.dtype == mx.float16
    parts = unpack(call.weight, e.c_out, [(s.kh, s.kw, s.x.c) for s in call.sources], backwards=direct)
    value = mx.array(0.0)
    for x, s, weight in zip(seen, call.sources, parts, strict=True):
        value = value + mx.conv_general(x, weight, s.stride, flip=direct).astype(mx.float32)
    return epilogue(value, e, call.weight.dtype)


def by_winograd(shape: Sequence[int], c_out: int, s: Source) -> bool:
    """Whether MLX's GPU, left to itself, convolves an array of a shape with a source's kernel by F(6x6, 3x3): the rule
    of `dispatch_conv_2D_gpu` in mlx/backend/metal/conv.cpp (0.32.2). In half precision that is ten times less exact
    than our own kernels."""
    n, h, w, c = shape
    fits = (s.kh, s.kw, s.stride) == (3, 3, 1) and c % 32 == 0 and c_out % 32 == 0
    return fits and n * h * w >= 4096 and c + c_out >= 256


def depthwise(call: Depthwise) -> list[mx.array]:
    s, out = call.source, call.epilogue.out
    seen = reading.windows(s, out)
    h, w = (out.h, out.w) if out.list is None else (out.tile, out.tile)
    value = mx.array(0.0)
    for tap in range(s.kh * s.kw):
        y, x = divmod(tap, s.kw)
        taken = seen[:, y : y + (h - 1) * s.stride + 1 : s.stride, x : x + (w - 1) * s.stride + 1 : s.stride]
        value = value + (taken / (s.kh * s.kw) if call.weight is None else taken * call.weight[tap])
    return epilogue(value, call.epilogue, call.dtype)


def paste(call: Paste) -> mx.array:
    return reading.pasted(call.x).astype(call.x.dtype)


def norm(call: Norm) -> mx.array:
    n, c = call.n, call.channels
    sums, squares = [], []
    for plane in call.sums:
        both = reading.pasted(plane).reshape(n, -1, plane.c)
        sums.append(both[..., : plane.c // 2])
        squares.append(both[..., plane.c // 2 :])
    by_group = (n, -1, call.groups, c // call.groups)
    count = call.pixels * (c // call.groups)
    sum_ = mx.concatenate(sums, -1).reshape(by_group)
    square = mx.concatenate(squares, -1).reshape(by_group)
    # In two passes: the difference of two large numbers would lose the variance's digits.
    mean = sum_.sum((1, 3), keepdims=True) / count
    of_tile = call.pixels / sum_.shape[1]
    variance = (square - mean * (2 * sum_ - mean * of_tile)).sum((1, 3), keepdims=True) / count
    inverse = mx.rsqrt(mx.maximum(variance, 0.0) + call.eps)
    inverse, mean = (
        mx.broadcast_to(v[:, 0], (n, call.groups, c // call.groups)).reshape(n, c) for v in (inverse, mean)
    )
    scale = inverse if call.weight is None else inverse * call.weight
    shift = (0.0 if call.bias is None else call.bias) - mean * scale
    if call.mod is not None:
        s, t = mx.split(call.mod.astype(mx.float32), 2, axis=-1)
        scale, shift = scale * (1 + s), shift * (1 + s) + t
    return mx.stack([scale, shift])


def attention(call: Attention) -> mx.array:
    q, k, v = (t.array[..., t.first : t.first + call.channels] for t in (call.q, call.k, call.v))
    listed = call.out.list
    if listed is not None and k.shape[0] == 1:  # one image: the queries of its tiles are one list
        q = q.reshape(1, -1, q.shape[-1])
    elif listed is not None:
        image = mx.maximum(listed[:, 0], 0)
        k, v = k[image], v[image]

    def by_head(x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:2], call.heads, call.head_dim).transpose(0, 2, 1, 3)

    result = mx.fast.scaled_dot_product_attention(by_head(q), by_head(k), by_head(v), scale=call.scale)
    result = result.transpose(0, 2, 1, 3).reshape(call.shape)
    if listed is None:
        return result
    inside = reading.coordinates(call.out)[3].reshape(*call.shape[:2], 1)
    return mx.where(inside, result, mx.array(0.0, result.dtype))


def epilogue(value: mx.array, e: Epilogue, dtype: mx.Dtype) -> list[mx.array]:
    """The outputs, and the sums where they are wanted, of a float32 value shaped as the domain is written."""
    if e.bias is not None:
        value = value + e.bias[: e.c_out]
    image, _, _, inside = reading.coordinates(e.out)
    if e.vec is not None:
        vec = e.vec.astype(mx.float32)
        value = value + (vec[0] if vec.shape[0] == 1 else vec[image])
    if e.residual is not None:
        value = value + reading.residual(e.residual, e.residual_resample, e.out)
    if e.out.list is not None:
        value = mx.where(inside[..., None], value, 0.0)
    results = reading.outputs(value, e.out, e.outputs, dtype)
    return [*results, reading.tile_sums(value, e.out)] if e.sums else results


def _phased(call: Conv, shift: int) -> mx.array:
    """The value of a phased convolution: each phase is a plain one on the planes' own pixels."""
    out, dtype = call.epilogue.out, call.weight.dtype
    small = replace(out, h=-(-out.h // 2), w=-(-out.w // 2), tile=out.tile // 2)
    packed = mx.split(call.weight, 4)
    rows = []
    for a in range(2):
        columns = []
        for b in range(2):
            parts = unpack(packed[2 * a + b], call.epilogue.c_out, [(s.kh, s.kw, s.x.c) for s in call.sources])
            value = mx.array(0.0)
            for s, weight in zip(call.sources, parts, strict=True):
                moved = replace(s, pad_top=s.pad_top - a * shift, pad_left=s.pad_left - b * shift)
                seen = reading.windows(moved, small).astype(dtype)
                value = value + mx.conv2d(seen, weight).astype(mx.float32)
            columns.append(value)
        rows.append(mx.stack(columns, axis=3))
    value = mx.stack(rows, axis=2)
    n, h, _, w, _, c = value.shape
    value = value.reshape(n, 2 * h, 2 * w, c)
    return value[:, : out.h, : out.w] if out.list is None else value
