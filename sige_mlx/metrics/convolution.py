"""Convolutions of the networks that measure. MLX's own are made for the GPU: on a CPU under Linux they reach 2 GFLOPS,
and a measure of one picture took seconds. On a CPU they are NumPy's matrix products, fast on every machine."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PATCHES = 1 << 24
"""So many numbers are laid out at a time: 64 MB."""


class Conv2d(mlx.nn.Conv2d):
    """MLX's layer, and the same numbers to rounding, from `(B, H, W, I)`."""

    def __call__(self, x: mx.array) -> mx.array:
        if mx.default_device() != mx.Device(mx.cpu, 0):
            return super().__call__(x)
        weight = np.asarray(self.weight)
        count, rows, columns = weight.shape[:3]
        padded = np.pad(np.asarray(x), [(0, 0), *((p, p) for p in self.padding), (0, 0)])
        strided = sliding_window_view(padded, (rows, columns), (1, 2))[:, :: self.stride[0], :: self.stride[1]]
        windows = strided.transpose(0, 1, 2, 4, 5, 3)  # (B, H, W, kH, kW, I), as weights are laid out
        matrix = np.ascontiguousarray(weight.reshape(count, -1).T)
        batch, height, width = windows.shape[:3]
        found = np.empty((batch, height, width, count), np.float32)
        step = max(1, PATCHES // (width * len(matrix)))
        for image, out in zip(windows, found, strict=True):
            for top in range(0, height, step):
                part = image[top : top + step].reshape(-1, len(matrix)) @ matrix
                out[top : top + step] = part.reshape(-1, width, count)
        if "bias" in self:
            found += np.asarray(self.bias)
        return mx.array(found)
