"""Peak signal-to-noise ratio."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from sige_mlx.errors import SigeError
from sige_mlx.metrics.given import Batch, Masks, Pictures, Values, array, batch, check_alike, mask_of, masked_mean


def psnr(a: Pictures, b: Pictures, data_range: float | None = None, mask: Masks | None = None) -> Values:
    """10 log10(data_range² / mean squared error) in dB of each picture, infinite for equal ones.

    Pictures are (H, W, C), which gives a float, or (B, H, W, C), which gives float64 (B,): uint8, or floats from 0 to
    1. Others may be compared by their `data_range`, which is white minus black: 2 for floats in [-1, 1]. With a bool
    `mask`, (H, W) or (B, H, W), the mean is over all channels of its pixels alone, as SIGE measures edited regions: it
    is scikit-image's `peak_signal_noise_ratio` of those pixels. Raises `SigeError` for shapes or types that do not fit,
    and for a mask with nothing in it.
    """
    if data_range is None:
        first, second, white = batch(a, "the first picture"), batch(b, "the second picture"), 1.0
    else:
        first, second, white = _of_any_range(a, "the first picture"), _of_any_range(b, "the second picture"), data_range
        if not white > 0:
            raise SigeError(f"data_range is {data_range}: white minus black, a number above 0, would be right")
    check_alike("PSNR", first.shape, second.shape)
    squares = ((first.pixels - second.pixels) ** 2).mean(-1)
    mse = masked_mean(squares, mask_of(mask, first.planes, "PSNR"))
    with np.errstate(divide="ignore"):
        return first.values(10 * np.log10(white**2 / mse))


def _of_any_range(given: Pictures, name: str) -> Batch:
    pixels = array(given, name)
    if pixels.dtype.kind not in "uif":
        raise SigeError(f"{name} is of type {pixels.dtype}: integers or floats would be right")
    single = pixels.ndim == 3
    return Batch(mx.array(pixels.astype(np.float32)[None] if single else pixels.astype(np.float32)), single)
