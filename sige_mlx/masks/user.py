"""Masks that people draw: pictures in any of the usual modes, read as edited / not edited."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import ImageLike, Size, Wanted, opened

STRAY = 0.05
"""Share of transparent pixels up to which a mask that is black and white is taken at its colours."""

SCATTERED = 0.75
"""How often neighbours differ in noise at least, compared with pixels that are drawn one by one."""

FAINTEST = 1 / 32
"""Of full opacity: alpha that varies by less says nothing."""

PAINT = "paint white what is edited, and the rest black"

Plane = npt.NDArray[Any]


def user_mask(mask: ImageLike, size: Size, name: str = "the mask") -> Mask:
    """A drawn mask as bool [H, W]; `size` = (H, W) is that of the image it belongs to.

    White means edited, black untouched, grey is decided at half of what the mask's type can hold. A colour counts by
    its largest channel, so that any bright stroke on black is a mask. A mask of two values that is nowhere half white,
    such as 0 and 1, or dark red on black, means the greater. In a picture with alpha, opaque means edited (the stroke
    on its own layer), decided at half of the most opaque pixel where all are faint; alpha says nothing where every
    pixel is at least half opaque, or where all but a few are and their colours are a mask themselves.

    Takes what `pictures.opened` does: files, Pillow images of any mode, and arrays [H, W] or [H, W, 1 to 4] (grey,
    grey + alpha, RGB, RGBA) of bool, of floats in [0, 1], or of integers, whose white is 1, 255 or 65535, whichever is
    the first that none exceeds, but always the largest of uint8 and uint16. Raises SigeError for anything else, when
    the sizes disagree, and for what is neither: grey all over, or in more than two values of which none is half white.
    """
    read = opened(mask, name, Wanted(size, "its picture is {}, and both must have one size"))
    read.check_certain()
    name = read.name
    pixels = _pixels(read.pixels) if isinstance(read.pixels, Image.Image) else read.pixels
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise SigeError(f"{name} is an array of shape {pixels.shape}: it must be (H, W) or (H, W, 1 to 4 channels)")
    full = _full_scale(pixels, name)
    alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
    colour = pixels if alpha is None else pixels[..., :-1]
    value = colour.max(-1)
    if alpha is not None and _says_something(alpha, value, full):
        return alpha >= min(full, float(alpha.max())) / 2
    if read.deep and not value.any():
        raise SigeError(f"{name} has 16 bits a channel, of which the upper 8 are read, and these are all 0: {PAINT}")
    coloured = colour.shape[2] > 1 and bool((value - colour.min(-1) > full / 8).any())
    return _decided(value, full, coloured, name)


def _pixels(picture: Image.Image) -> npt.NDArray[Any]:
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("1", "L", "F", "I"):
        return np.asarray(picture)
    if picture.mode == "LAB":  # which Pillow converts to nothing else
        return np.asarray(picture.getchannel("L"))
    return np.asarray(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))


def _full_scale(pixels: Plane, name: str) -> float:
    """The value that means white."""
    if pixels.dtype == np.bool_:
        return 1
    if pixels.dtype.kind not in "iuf":
        raise SigeError(f"{name} holds {pixels.dtype} values: it must hold numbers or bool")
    if pixels.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(pixels.dtype).max)
    lowest, highest = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    scales = (1,) if pixels.dtype.kind == "f" else (1, 255, 65535)
    for scale in scales:
        if lowest >= 0 and highest <= scale:  # false for NaN
            return scale
    raise SigeError(
        f"{name} is {pixels.dtype} from {lowest:g} to {highest:g}: it must be bool, floats within 0 to 1, or integers"
        " within 0 to 1, 255 or 65535"
    )


def _says_something(alpha: Plane, value: Plane, full: float) -> bool:
    """Whether alpha is the mask, rather than the colours under it."""
    if not alpha.size or float(alpha.max()) - float(alpha.min()) < full * FAINTEST:
        return False
    opaque = alpha >= full / 2
    if opaque.all():
        return False
    white = value[opaque] >= full / 2
    return not (np.mean(~opaque) < STRAY and white.any() and not white.all())


def _decided(value: Plane, full: float, coloured: bool, name: str) -> Mask:
    """White or black, pixel by pixel; `coloured` tells whether some are neither grey nor anything like it."""
    mask: Mask = value >= full / 2
    if coloured and mask.all():
        raise SigeError(f"{name} is bright in every pixel, and in colours: {PAINT}")
    if mask.any() or not value.any():
        return mask
    lowest, highest = value.min(), value.max()
    of = f"of {full:g}, which would be white"
    if lowest == highest:
        raise SigeError(f"{name} is {highest:g} everywhere, {of}: it is neither black nor white")
    values = np.unique(value)
    if len(values) > 2 or lowest:
        more = f", in {len(values)} values" if value.dtype.kind != "f" else ""
        raise SigeError(f"{name} holds {lowest:g} to {highest:g}{more}, {of}: {PAINT}")
    mask = value == highest
    if full > 1 and _scattered(mask):
        raise SigeError(f"{name} holds {lowest:g} and {highest:g}, {of}, scattered like noise: {PAINT}")
    return mask


def _scattered(mask: Mask) -> bool:
    """Whether neighbours differ nearly as often as if every pixel were drawn on its own."""
    differ = [mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]]
    pairs = sum(d.size for d in differ)
    share = float(mask.mean())
    return pairs > 0 and sum(int(d.sum()) for d in differ) / pairs >= SCATTERED * 2 * share * (1 - share)
