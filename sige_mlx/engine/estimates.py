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
import numpy.typing as npt

from sige_mlx.engine import statistics
from sige_mlx.engine.inputs import Input
from sige_mlx.engine.statistics import Doubles, Floats
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Size


def half(lowered: Lowered) -> Size:
    """Returns about half the size of a network's images, of which it takes images, too."""
    step = lowered.granularity
    h, w = (min(side, max(lowered.least_side, step * math.ceil(side / (2 * step)))) for side in lowered.image_size)
    return h, w


def shrunk(x: Input, size: Size) -> Input:
    """Returns images (B, H, W, C) at a smaller size, every pixel the mean of the area that it covers."""
    array: npt.NDArray[Any] = np.asarray(x)
    for axis, after in zip((1, 2), size, strict=True):
        array = _means(array, axis, after)
    return np.asarray(array, np.float32) if isinstance(x, np.ndarray) else mx.array(array, dtype=x.dtype)


def _means(x: npt.NDArray[np.floating[Any]], axis: int, after: int) -> Doubles:
    """Returns an array with its length along an axis made `after`, from its sums up to any place. A matrix product
    would leave the threads of a BLAS waiting busily, which take processors from ours."""
    before = x.shape[axis]
    sums = np.insert(np.cumsum(x, axis, np.float64), 0, 0, axis)
    edges = np.arange(after + 1) * (before / after)
    whole = np.minimum(edges.astype(np.intp), before - 1)
    low, high = np.take(sums, whole, axis), np.take(sums, whole + 1, axis)
    part = (edges - whole).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    means: Doubles = np.diff(low + part * (high - low), axis=axis) * (after / before)
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
