"""Masks that people draw: pictures in any of the usual modes, read as edited / not edited."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow's conversion to "L"


def user_mask(picture: Image.Image | npt.ArrayLike, size: tuple[int, int]) -> Mask:
    """A drawn mask as bool [H, W]; `size` = (H, W) is that of the image it belongs to.

    White means edited, black untouched, grey is decided at half. In a picture with alpha, opaque means edited (the
    stroke on its own layer) if alpha varies at all; a constant alpha says nothing and the luminance decides.
    Takes Pillow images of any mode, and arrays [H, W] or [H, W, 1 to 4] (grey, grey + alpha, RGB, RGBA) of bool,
    uint8, uint16, floats in [0, 1], or integers that are all 0 or 1. Raises SigeError for anything else, and when
    the sizes disagree.
    """
    pixels = _pixels(picture) if isinstance(picture, Image.Image) else np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise SigeError(f"the mask is an array of shape {pixels.shape}: it must be (H, W) or (H, W, 1 to 4 channels)")
    if pixels.shape[:2] != tuple(size):
        raise SigeError(
            f"the mask is {pixels.shape[1]}×{pixels.shape[0]} and its image {size[1]}×{size[0]} (width × height):"
            " they must agree"
        )
    full = _full_scale(pixels)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        pixels = alpha[..., None] if alpha.size and alpha.min() != alpha.max() else pixels[..., :-1]
    value = pixels @ LUMINANCE if pixels.shape[2] == 3 else pixels[..., 0]
    return value >= full / 2


def _pixels(picture: Image.Image) -> npt.NDArray[Any]:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode.startswith("I"):  # 16-bit PNG, under the names that versions of Pillow give it
        return np.asarray(picture).astype(np.uint16)
    elif picture.mode not in ("1", "L", "F"):
        picture = picture.convert("RGB")
    return np.asarray(picture)


def _full_scale(pixels: npt.NDArray[Any]) -> float:
    """The value that means white."""
    if pixels.dtype == np.bool_:
        return 1
    if pixels.dtype.kind not in "iuf":
        raise SigeError(f"the mask holds {pixels.dtype} values: it must hold numbers or bool")
    lowest, highest = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
    if lowest >= 0 and highest <= 1:
        return 1
    if pixels.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(pixels.dtype).max)
    raise SigeError(
        f"the mask is {pixels.dtype} from {lowest} to {highest}: it must be bool, uint8, uint16, or within 0 to 1"
    )
