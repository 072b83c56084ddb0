"""Weights in the order in which the convolution kernel uses them (`metal/conv/mma.h`)."""

from collections.abc import Sequence

import mlx.core as mx

PANEL = 32
"""Output channels of a panel."""


def k_groups(kh: int, kw: int, c: int) -> int:
    """Groups of 8 rows that a source has in a panel."""
    return -(-c // 8) * kh * kw


def pack(parts: Sequence[mx.array]) -> mx.array:
    """Packs the weights of a convolution's sources, each (O, kH, kW, I), into [panel, k, 4, 8, 8]."""
    rows = []
    for part in parts:
        o, kh, kw, c = part.shape
        padded = mx.pad(part, [(0, -o % PANEL), (0, 0), (0, 0), (0, -c % 8)])
        # (panel, fragment, column; y, x; group, row) -> (panel, group, y, x, fragment, row, column)
        split = padded.reshape(-1, 4, 8, kh, kw, padded.shape[-1] // 8, 8).transpose(0, 5, 3, 4, 1, 6, 2)
        rows.append(split.reshape(split.shape[0], -1, 4, 8, 8))
    return mx.contiguous(mx.concatenate(rows, axis=1))


def unpack(packed: mx.array, o: int, shapes: Sequence[tuple[int, int, int]]) -> list[mx.array]:
    """The weights (O, kH, kW, I) of sources of the shapes (kH, kW, I), as they were before `pack`."""
    parts, first = [], 0
    for kh, kw, c in shapes:
        groups = k_groups(kh, kw, c)
        rows = packed[:, first : first + groups].reshape(-1, groups // (kh * kw), kh, kw, 4, 8, 8)
        part = rows.transpose(0, 4, 6, 2, 3, 1, 5).reshape(packed.shape[0] * PANEL, kh, kw, -1)
        parts.append(part[:o, :, :, :c])
        first += groups
    return parts
