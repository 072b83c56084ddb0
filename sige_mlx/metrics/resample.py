"""Planes of another size."""

from __future__ import annotations

import mlx.core as mx
import numpy as np


def bilinear(x: mx.array, size: tuple[int, int]) -> mx.array:
    """`x` (B, H, W, C) at `size` (H, W), each pixel from the two nearest rows and columns, nothing blurred where it
    shrinks: PyTorch's `interpolate(mode="bilinear", align_corners=False)`."""
    for axis, length in zip((1, 2), size, strict=True):
        x = _along(x, axis, length)
    return x


def _along(x: mx.array, axis: int, length: int) -> mx.array:
    given = x.shape[axis]
    if given == length:
        return x
    position = np.maximum((np.arange(length) + 0.5) * (given / length) - 0.5, 0)
    before = position.astype(np.int32)
    shape = [1, 1, 1, 1]
    shape[axis] = length
    share = mx.array((position - before).astype(np.float32).reshape(shape))
    near = mx.take(x, mx.array(before), axis)
    return near + share * (mx.take(x, mx.array(np.minimum(before + 1, given - 1)), axis) - near)
