"""What MLX's GPU does to a 3x3 convolution in half precision, left to itself: F(6x6, 3x3) of which the transformed
pixels, the transformed kernels and their products are stored as halves (mlx/backend/metal/conv.cpp)."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

# Of Lavin and Gray 2016, for the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
B = np.array(
    [
        [1, 0, -21 / 4, 0, 21 / 4, 0, -1, 0],
        [0, 1, 1, -17 / 4, -17 / 4, 1, 1, 0],
        [0, -1, 1, 17 / 4, -17 / 4, -1, 1, 0],
        [0, 1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1, 0],
        [0, -1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1, 0],
        [0, 2, 4, -5 / 2, -5, 1 / 2, 1, 0],
        [0, -2, 4, 5 / 2, -5, -1 / 2, 1, 0],
        [0, -1, 0, 21 / 4, 0, -21 / 4, 0, 1],
    ],
    np.float32,
)
G = np.array(
    [
        [1, 0, 0],
        [-2 / 9, -2 / 9, -2 / 9],
        [-2 / 9, 2 / 9, -2 / 9],
        [1 / 90, 1 / 45, 2 / 45],
        [1 / 90, -1 / 45, 2 / 45],
        [32 / 45, 16 / 45, 8 / 45],
        [32 / 45, -16 / 45, 8 / 45],
        [0, 0, 1],
    ],
    np.float32,
)
A = np.array([[0 if p is None else p**i for p in (0, 1, -1, 2, -2, 1 / 2, -1 / 2, None)] for i in range(6)], np.float32)
A[5, 7] = 1


def convolved(x: mx.array, weight: mx.array) -> mx.array:
    """A half [n, h, w, c] by a half (O, 3, 3, C), without padding."""
    n, h, w, c = x.shape
    rows, columns = -(-(h - 2) // 6), -(-(w - 2) // 6)
    padded = np.zeros((n, 6 * rows + 2, 6 * columns + 2, c), np.float32)
    padded[:, :h, :w] = np.asarray(x, np.float32)
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), (1, 2))[:, ::6, ::6]  # n, rows, columns, c, 8, 8
    pixels = _half(np.einsum("ya,xb,nrscab->yxnrsc", B, B, tiles, optimize=True))
    kernels = _half(np.einsum("ya,xb,oabi->yxio", G, G, np.asarray(weight, np.float32), optimize=True))
    products = _half(pixels.reshape(8, 8, -1, c) @ kernels)
    out = np.einsum("ya,xb,abto->tyxo", A, A, products, optimize=True).reshape(n, rows, columns, 6, 6, -1)
    whole = out.transpose(0, 1, 3, 2, 4, 5).reshape(n, 6 * rows, 6 * columns, -1)
    return mx.array(whole[:, : h - 2, : w - 2]).astype(mx.float16)


def _half(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float16).astype(np.float32)
