"""The bucket: which pixels belong to the area around a point."""

from __future__ import annotations

import numpy as np

from sige_mlx.masks.difference import Mask


def area(alike: Mask, x: int, y: int) -> Mask:
    """The pixels of a mask, bool (H, W), that are connected with one of them by their sides.

    Rows are taken apart into runs; runs that touch are joined by having all of a group point at the first of it
    (Shiloach and Vishkin 1982, with halving)."""
    height, width = alike.shape
    bordered = np.zeros((height, width + 2), np.int8)
    bordered[:, 1:-1] = alike
    step = np.diff(bordered, axis=1)
    rows, starts = np.nonzero(step == 1)
    ends = np.nonzero(step == -1)[1]
    stride = width + 1
    first, last = rows * stride + starts, rows * stride + ends
    low = np.searchsorted(last, (rows + 1) * stride + starts, "right")
    high = np.searchsorted(first, (rows + 1) * stride + ends, "left")
    counts = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(rows)), counts)
    below = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    group = np.arange(len(rows))
    while True:
        one, other = group[above], group[below]
        apart = one != other
        if not apart.any():
            break
        above, below, one, other = above[apart], below[apart], one[apart], other[apart]
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(group, shorter := group[group]):
            group = shorter
    at = int(np.searchsorted(first, y * stride + x, "right")) - 1
    mine = group == group[at]
    marks = np.zeros((height, width + 1), np.int8)
    marks[rows[mine], starts[mine]] = 1
    marks[rows[mine], ends[mine]] -= 1
    return np.cumsum(marks, axis=1, dtype=np.int8)[:, :-1].astype(np.bool_)
