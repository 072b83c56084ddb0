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


def upsampling_phases(weight: mx.array) -> list[mx.array]:
    """The weights (O, 2, 2, I) of the four phases of a 3x3 convolution, padded by 1, of a plane that nearest-neighbour
    upsampling doubled: taps that meet the same pixel are added. Its phase shift is 1, its padding 1."""
    by_parity = [lambda w: [w[0], w[1] + w[2]], lambda w: [w[0] + w[1], w[2]]]
    phases = []
    for rows in by_parity:
        for columns in by_parity:
            by_row = rows([weight[:, y] for y in range(3)])
            phases.append(mx.stack([mx.stack(columns([row[:, x] for x in range(3)]), 1) for row in by_row], 1))
    return phases


def transposed_phases(weight: mx.array) -> list[mx.array]:
    """The weights (O, 2, 2, I) of the four phases of a transposed 3x3 convolution, stride 2 and padding 1, whose side is
    twice the input's. Its phase shift and its padding are 0."""
    def taps(w: list[mx.array], parity: int) -> list[mx.array]:
        return [w[2], w[0]] if parity else [w[1], mx.zeros_like(w[1])]

    phases = []
    for a in range(2):
        rows = taps([weight[:, y] for y in range(3)], a)
        for b in range(2):
            phases.append(mx.stack([mx.stack(taps([row[:, x] for x in range(3)], b), 1) for row in rows], 1))
    return phases
