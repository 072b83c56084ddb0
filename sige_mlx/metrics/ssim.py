"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from sige_mlx.errors import SigeError
from sige_mlx.metrics.given import Masks, Pictures, Values, mask_of, masked_mean, pair, which

SIDE, SIGMA = 11, 1.5
"""Of the Gaussian window, in pixels."""

MARGIN = SIDE // 2
"""Pixels of a border whose windows are not whole."""

_C1, _C2 = 0.01**2, 0.03**2  # of pictures from 0 to 1
_GREY = 0.5


def ssim(a: Pictures, b: Pictures, mask: Masks | None = None) -> Values:
    """The mean structural similarity of each picture, 1 for equal ones.

    Pictures are (H, W, C), which gives a float, or (B, H, W, C), which gives float64 (B,): uint8, or floats from 0 to
    1; their sides have 11 pixels or more. As in the paper by Wang et al., which is scikit-image's
    `structural_similarity` with `gaussian_weights=True, use_sample_covariance=False`: a Gaussian window of 11x11 pixels
    and sigma 1.5, biased covariances, K1 0.01, K2 0.03, the mean over all channels and over all pixels whose window
    lies in the picture. torchmetrics has the same values at these pixels, and takes the mean over those at the borders
    too, which it mirrors. With a bool `mask`, (H, W) or (B, H, W), the mean is over those of the pixels that are in it.
    Raises `SigeError` for shapes or types that do not fit, and for a mask with none of the pixels in it.
    """
    first, second = pair(a, b, "SSIM")
    masks = mask_of(mask, first.planes, "SSIM")
    if min(first.planes[1:]) < SIDE:
        raise SigeError(
            f"SSIM looks at windows of {SIDE}×{SIDE} pixels, and the picture is {first.planes[2]}×{first.planes[1]}"
            " (width × height)"
        )
    if masks is not None:
        masks = masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        if not (inside := masks.any((1, 2))).all():
            raise SigeError(
                f"SSIM looks at windows of {SIDE}×{SIDE} pixels, and the mask chooses only pixels nearer than that to"
                f" the picture's border{which(inside)}"
            )
    return first.values(masked_mean(_map(first.pixels, second.pixels).mean(-1), masks))


def _map(x: mx.array, y: mx.array) -> mx.array:
    """The similarity (B, H - 10, W - 10, C) at each pixel whose window is whole."""
    x, y = x - _GREY, y - _GREY  # of smaller numbers the squares cancel with less error
    parts = mx.split(_blurred(mx.concatenate([x, y, x * x, y * y, x * y])), 5)
    mean_x, mean_y = parts[0], parts[1]
    var_x, var_y, covariance = parts[2] - mean_x**2, parts[3] - mean_y**2, parts[4] - mean_x * mean_y
    mean_x, mean_y = mean_x + _GREY, mean_y + _GREY
    means = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return means * (2 * covariance + _C2) / (var_x + var_y + _C2)


def _blurred(x: mx.array) -> mx.array:
    """Weighted means over the windows that lie in the pictures (B, H, W, C)."""
    distance = np.arange(SIDE) - SIDE // 2
    window = np.exp(-(distance**2) / (2 * SIGMA**2))
    weights = (window / window.sum()).tolist()
    height, width = x.shape[1] - SIDE + 1, x.shape[2] - SIDE + 1
    rows: mx.array = sum((w * x[:, i : i + height] for i, w in enumerate(weights)), mx.array(0.0))
    return sum((w * rows[:, :, i : i + width] for i, w in enumerate(weights)), mx.array(0.0))
