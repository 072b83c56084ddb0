"""Colours of pictures, from whatever a file has to 8-bit sRGB, and back: depth, transparency and colour profiles."""

from __future__ import annotations

import io
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from sige_mlx.errors import SigeError, first_line

Picture = npt.NDArray[np.uint8]
"""(H, W, 3), RGB."""

Alpha = npt.NDArray[np.uint8]
"""(H, W): 0 is transparent, 255 opaque."""

_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Modes of Pillow by what a profile says it is of."""

_KINDS = {"RGB": "colour", "L": "grey", "CMYK": "CMYK", "LAB": "Lab"}
"""What pictures of these modes are called."""

DEEP = "has 16 bits a channel, which are kept where nothing is rendered: the network sees and makes 8"
"""What is said of a picture."""

_AMBIGUOUS = 2.0
"""Floats that go beyond 1, but not beyond this, may be an overexposed picture of 0 to 1 or a dark one of 0 to 255."""


class Profile:
    """A colour profile of RGB pictures, to be converted to sRGB and back. Raises what Pillow does for data that are
    none."""

    def __init__(self, data: bytes):
        self.data = data
        self._profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        self._to = _transform(self._profile, _srgb(), "RGB", "RGB")
        self._from = _transform(_srgb(), self._profile, "RGB", "RGB")

    @property
    def name(self) -> str:
        """What it calls itself."""
        return " ".join(ImageCms.getProfileDescription(self._profile).split())

    @cached_property
    def is_srgb(self) -> bool:
        """Whether its colours are sRGB's to a level, so that nothing is to be converted."""
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
        return int(np.abs(_applied(self._to, cube).astype(np.int16) - cube).max()) <= 1

    def to_srgb(self, pixels: Picture) -> Picture:
        """The same colours in sRGB, as far as it has them."""
        return pixels if self.is_srgb else _applied(self._to, pixels)

    def from_srgb(self, pixels: Picture) -> Picture:
        """The same colours in this profile."""
        return pixels if self.is_srgb else _applied(self._from, pixels)


class Colours(NamedTuple):
    """A picture's colours, in its own profile if it can be kept, else in sRGB."""

    rgb: Picture
    alpha: Alpha | None = None
    profile: Profile | None = None
    notes: tuple[str, ...] = ()
    """What a user should know of how they were read."""
    low: npt.NDArray[np.uint8] | None = None
    """(H, W, 3), or 4 with transparency: of channels of 16 bits the lower 8, of which the others are the upper."""

    def alike(self, other: Colours) -> bool:
        """Whether the two are in the same profile, so that the same numbers are the same colours."""
        return (self.profile and self.profile.data) == (other.profile and other.profile.data)

    @property
    def srgb(self) -> Picture:
        """As they look on white paper."""
        pixels = self.profile.to_srgb(self.rgb) if self.profile else self.rgb
        return pixels if self.alpha is None else over_white(pixels, self.alpha)


def colours(image: Image.Image, name: str, low: Image.Image | None = None) -> Colours:
    """The colours of an image of any mode; `low` has the lower bits of its channels, if they have 16. Raises
    `SigeError` for numbers of which nobody can tell what white is."""
    notes: list[str] = []
    if image.mode == "La":  # which converts to nothing else
        info, image = image.info, image.convert("LA")
        image.info = info
    alpha = alpha_of(image)
    lower = None if low is None else np.asarray(low)
    if image.mode.startswith(("I", "F")):
        image, lower, depth = _eight_bits(image, name)
        notes += depth
    elif image.mode == "LAB" and "icc_profile" not in image.info:
        image = _converted(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
        notes.append(f"{name} is in Lab colours: the result is in sRGB")
    rgb, profile = None, None
    if data := image.info.get("icc_profile"):
        try:
            rgb, profile = _managed(image, data)
        except Exception as error:  # damaged, of another kind of picture, or Pillow was built without LittleCMS
            notes.append(f"{name} has a colour profile that cannot be used ({first_line(error)}): it is taken as sRGB")
        else:
            if profile is None:
                notes.append(f"{name} has a colour profile that the result cannot have: the result is in sRGB")
    elif image.mode == "CMYK":
        notes.append(f"{name} is CMYK without a colour profile: its colours are a guess, and the result is in sRGB")
    if rgb is not None and profile is None:  # converted, of which the lower bits are not
        lower = None
    return Colours(_rgb(image) if rgb is None else rgb, alpha, profile, tuple(notes), _lower(lower, alpha))


def _lower(bits: npt.NDArray[np.uint8] | None, alpha: Alpha | None) -> npt.NDArray[np.uint8] | None:
    """Lower bits as `Colours` have them. Transparency of 8 bits has those that make white white."""
    if bits is None:
        return None
    if bits.ndim == 2:
        bits = bits[..., None].repeat(3, -1)
    if alpha is not None:
        return np.dstack([bits[..., :3], bits[..., 3] if bits.shape[-1] == 4 else alpha])
    return np.ascontiguousarray(bits[..., :3])


def over_white(pixels: Picture, alpha: Alpha) -> Picture:
    """A picture laid on white."""
    a = alpha[..., None].astype(np.uint32)
    return ((pixels * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def off_white(pixels: Picture, alpha: Alpha) -> Picture:
    """The colours that, laid on white with this transparency, look like a picture; as near as there are any."""
    a = alpha[..., None].astype(np.float32) / 255
    return np.clip(np.rint((pixels - 255 * (1 - a)) / np.maximum(a, 1 / 255)), 0, 255).astype(np.uint8)


def _managed(image: Image.Image, data: bytes) -> tuple[Picture, Profile | None]:
    """Colours, and the profile they are still in: that of RGB pictures, of grey ones too; others are converted."""
    found = ImageCms.ImageCmsProfile(io.BytesIO(data))
    space = _SPACES.get(found.profile.xcolor_space.strip(), "")
    grey = image.mode in ("1", "L", "LA")
    kind = image.mode if image.mode in ("CMYK", "LAB") else "L" if grey else "RGB"
    if space == "RGB" and kind in ("L", "RGB"):
        pixels = _rgb(image)
        try:
            return pixels, Profile(data)
        except ImageCms.PyCMSError:  # that of a scanner, say, which nothing can be converted to
            return _applied(_transform(found, _srgb(), "RGB", "RGB"), pixels), None
    if space != kind:
        raise ValueError(f"it is one of {_KINDS.get(space, 'other')} pictures, and this is a {_KINDS[kind]} one")
    return _rgb(_converted(image.convert("L") if grey else image, found)), None


def _transform(source: Any, target: Any, from_mode: str, to_mode: str) -> Any:
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC
    return ImageCms.buildTransform(
        source, target, from_mode, to_mode, ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=flags
    )


def _srgb() -> Any:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _converted(image: Image.Image, profile: Any) -> Image.Image:
    """An image in a profile, in sRGB."""
    converted = ImageCms.applyTransform(image, _transform(profile, _srgb(), image.mode, "RGB"))
    assert converted is not None
    return converted


def _applied(transform: Any, pixels: Picture) -> Picture:
    converted = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform)
    assert converted is not None
    return np.asarray(converted)


def _rgb(image: Image.Image) -> Picture:
    """8-bit colours without their transparency."""
    if image.mode in ("P", "PA", "RGBa"):
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def alpha_of(image: Image.Image) -> Alpha | None:
    """The transparency of an image; None where every pixel is opaque."""
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):  # one value is transparent; Pillow would look for it after cutting to 8 bits
        alpha = np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8)
    else:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if (alpha == 255).all() else alpha


def _eight_bits(image: Image.Image, name: str) -> tuple[Image.Image, npt.NDArray[np.uint8] | None, list[str]]:
    """A grey image of integers or floats in 8 bits, the lower bits of one of 16, and what to say of it."""
    lower = None
    values = np.asarray(image).astype(np.float64)
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(values).all() and lowest >= 0):
        raise SigeError(f"{name} holds values from {lowest:g} to {highest:g}: floats from 0 to 1 would be right")
    if image.mode == "F":
        if 1 < highest <= _AMBIGUOUS or highest > 255:
            raise SigeError(
                f"{name} holds floats from 0 to {highest:g}, and white may be 1, 255 or another: floats within 0 to 1"
                " would be right, or a picture of 8 bits"
            )
        white = 1.0 if highest <= 1 else 255.0
        notes = [f"{name} holds floats: {white:g} is taken as white, and 8 bits are kept"]
    elif image.mode == "I" and image.format not in ("PNG", "PPM", None) and highest <= 255:
        white, notes = 255.0, [f"{name} holds 32-bit numbers: 255 is taken as white"]
    else:
        if highest > 65535:
            raise SigeError(f"{name} holds numbers to {highest:g}: a picture of 8 or 16 bits would be right")
        white, notes = 256.0 * 255, [f"{name} {DEEP}"]
        if 0 < highest <= 255:
            notes = [f"{name} has 16 bits, but nothing above {highest:g} of 65535: it is taken as black"]
        lower = (values % 256).astype(np.uint8)
        values -= lower
    grey = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    grey.info.update({key: value for key, value in image.info.items() if key != "transparency"})
    return grey, lower, notes
