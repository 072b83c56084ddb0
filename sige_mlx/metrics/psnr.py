"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError


def psnr(a: npt.ArrayLike, b: npt.ArrayLike, data_range: float, mask: npt.NDArray[np.bool_] | None = None) -> float:
    """10 log10(data_range² / mean squared error) in dB, infinite for equal pictures [..., H, W, C].

    `data_range` is white minus black (2 for [-1, 1], 255 for uint8). With a bool mask [H, W], only its pixels count.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        raise SigeError(f"PSNR compares pictures of one size, not {x.shape} with {y.shape}")
    error = (x - y) ** 2
    if mask is not None:
        if mask.shape != x.shape[-3:-1]:
            raise SigeError(f"the mask is {mask.shape} and the pictures are {x.shape}: it must be their (H, W)")
        error = error[..., mask, :]
    if not error.size:
        raise SigeError("PSNR of no pixels: the mask or the picture is empty")
    mse = float(error.mean())
    return float(10 * np.log10(data_range**2 / mse)) if mse else float("inf")
