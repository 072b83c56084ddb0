"""Estimated statistics: passes at half the size tell how an edit moves the statistics of the whole.

A norm over the whole picture takes other statistics of an edited picture, also because the picture changes outside of
the edit, through the norms before. A dense pass knows them, and so, nearly, does one over the picture at half the size,
for a quarter of the work: not what they are, but by how much they move.
"""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine import statistics
from sige_mlx.engine.statistics import Doubles, Floats
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Size


def half(lowered: Lowered) -> Size:
    """Returns about half the size of a network's images: sides are multiples of its granularity, of which there are two
    or more, for planes of one pixel cannot be reflected at their borders."""
    step = lowered.granularity
    h, w = (min(side, step * max(2, math.ceil(side / (2 * step)))) for side in lowered.image_size)
    return h, w


def shrunk(x: mx.array, size: Size) -> mx.array:
    """Returns images (B, H, W, C) at a smaller size, every pixel the mean of the area that it covers."""
    rows, columns = (_means(after, before) for after, before in zip(size, x.shape[1:3], strict=True))
    array = np.tensordot(rows, np.asarray(x), (1, 1))  # (h, B, W, C)
    means = np.tensordot(columns, array, (1, 2)).transpose(2, 1, 0, 3)
    return mx.array(np.ascontiguousarray(means), dtype=x.dtype)


def _means(after: int, before: int) -> Doubles:
    """Returns the matrix that takes a line of `before` pixels to one of `after`."""
    edges = np.arange(after + 1) * (before / after)
    pixels = np.arange(before)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    means: Doubles = np.maximum(covered, 0) * (after / before)
    return means


def given(
    lowered: Lowered, record: Mapping[Any, Any], measured: Mapping[Any, Doubles], estimated: bool
) -> dict[Any, Doubles | Floats]:
    """Returns what takes the place of recorded arrays once the moments of norms were `measured` at half the size:
    these, and where statistics are `estimated` the moments, the scale and the shift that they give."""
    arrays: dict[Any, Doubles | Floats] = {}
    for norm in lowered.renewed:
        small = arrays["small", norm.value] = measured[norm.value]
        if estimated:
            before = record["moments", norm.value], record["small", norm.value]
            moments = arrays["moments", norm.value] = statistics.estimated(*before, small, norm.eps)
            affine = statistics.affine(moments, record["gain", norm.value], norm.eps)
            arrays["scale", norm.value], arrays["shift", norm.value] = affine
    return arrays
