"""From two pictures to a mask per resolution, by the rules of SIGE (Li et al. 2022, "Efficient Spatially Sparse
Inference for Conditional GANs and Diffusion Models").

A mask is a bool array [..., H, W]; leading axes, if any, are images of a batch and never mix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError

Mask = npt.NDArray[np.bool_]

COVERAGE = 0.3  # share of a low-resolution pixel that must be edited for the pixel to count as edited
MARGIN = 1e-3  # below the most covered pixel, which so always counts

LEVELS = 127.5
"""Grey levels of 8 bits in one unit of `eps`: of the range [-1, 1] that networks work in."""


def difference_mask(original: npt.ArrayLike, edited: npt.ArrayLike, eps: float) -> Mask:
    """Pixels at which any channel differs by more than `eps`: [..., H, W, C] twice -> bool [..., H, W].

    Both inputs are floats (`eps` in their units; images are in [-1, 1]) or both uint8, which stands for [-1, 1]: one
    grey level is then 2/255. Raises SigeError when sizes or types disagree, for NaN, and for an `eps` below 0.
    """
    eps = real(eps, "eps", 0, math.inf)
    a, b = np.asarray(original), np.asarray(edited)
    if a.shape != b.shape or a.ndim < 3:
        raise SigeError(f"the original is {a.shape} and the edited {b.shape}: both must be (…, H, W, C), of one size")
    grey_levels = a.dtype == b.dtype == np.uint8
    if not grey_levels and not a.dtype.kind == b.dtype.kind == "f":
        raise SigeError(f"the original is {a.dtype} and the edited {b.dtype}: both must be floats or both uint8")
    mask = np.zeros(a.shape[:-1], np.bool_)
    difference = np.empty(mask.shape, np.result_type(a, b))
    for channel in range(a.shape[-1]):  # several times as fast as any(-1), whose inner loop is only C long
        u, v = a[..., channel], b[..., channel]
        if grey_levels:  # unsigned: u - v would wrap
            mask |= np.subtract(np.maximum(u, v), np.minimum(u, v), out=difference) > eps * LEVELS
        else:
            mask |= np.abs(np.subtract(u, v, out=difference), out=difference) > eps
            if np.isnan(difference).any():  # compared with anything it is false: as if nothing were edited
                raise SigeError("the pictures hold NaN, or infinity at the same place: they must be numbers")
    return mask


def dilate(mask: Mask, radius: int) -> Mask:
    """Grow a mask [..., H, W] by a plus: every pixel reaches `radius` pixels along its row and along its column."""
    radius = whole(radius, "the dilation radius", 0)
    *leading, height, width = mask.shape
    radius = min(radius, max(height, width))
    # A band of `radius` empty pixels behind every row and image keeps a shift of the flat array from leaving its row
    # or its image, and one contiguous pass is three times as fast as one per row.
    pitch = width + radius
    seed = np.zeros((*leading, height + radius, pitch), np.bool_)
    seed[..., :height, :width] = mask
    grown = seed.copy()
    source, target = seed.reshape(-1), grown.reshape(-1)
    for distance in range(1, radius + 1):
        for shift in (distance, distance * pitch):
            target[shift:] |= source[:-shift]
            target[:-shift] |= source[shift:]
    return np.ascontiguousarray(grown[..., :height, :width])


def mask_pyramid(mask: Mask, levels: int, dilation: int = 1) -> list[Mask]:
    """Masks of a [..., H, W] mask at H × W, ⌈H/2⌉ × ⌈W/2⌉, … : `levels` of them, each dilated by `dilation`.

    The share of each pixel that is edited is halved by 2×2 means (the last row or column of an odd size counts
    twice), and a pixel is edited where the share exceeds min(0.3, largest share - 0.001); dilation does not feed the
    next level. An empty mask stays empty, any other never becomes empty. A larger edit may raise the threshold, so
    only within one level do larger masks mean more tiles.
    """
    levels = whole(levels, "the number of levels of a mask pyramid", 1)
    pyramid = [dilate(mask, dilation)]
    share: npt.NDArray[Any] = mask.view(np.uint8)
    for _ in range(1, levels):
        share = _halve(share)
        largest = share.max(axis=(-2, -1), keepdims=True, initial=0)
        # Not below 0: a speck whose share fell under the margin would otherwise mark the whole picture.
        threshold = np.maximum(np.minimum(largest - MARGIN, COVERAGE), 0)
        pyramid.append(dilate(share > threshold, dilation))
    return pyramid


def _halve(share: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """2×2 means of [..., H, W], exact; an odd size is first extended by its last row or column."""
    if share.shape[-2] % 2:
        share = np.concatenate([share, share[..., -1:, :]], axis=-2)
    share = share[..., 0::2, :] + share[..., 1::2, :]
    if share.shape[-1] % 2:
        share = np.concatenate([share, share[..., -1:]], axis=-1)
    mean: npt.NDArray[np.float32] = np.multiply(share[..., 0::2] + share[..., 1::2], 0.25, dtype=np.float32)
    return mean
