"""Pictures in and out of networks: what a network sees of a picture, what of it a result keeps, and the range [-1, 1]
that networks work in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import DEEP, Colours, Picture, colours, off_white
from sige_mlx.editing.deep import LOW
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import ImageLike, Size, Wanted, opened

RESIZE = "resize or crop it, and its painted copy alike (on a Mac: sips -z HEIGHT WIDTH a.png --out b.png)"

NEAR = 2
"""Levels of 255 up to which two pixels are the same colour, when one profile is told from another."""

_OF_FILES = frozenset([*range(254, 260), *range(262, 267), 273, *range(277, 280), 284, 317, *range(320, 326), 330])
_NOT_KEPT = _OF_FILES | {274, 282, 283, 296, 338, 339, 347, 529, 530, 531, 532, 700, 33723, 34377, 34675}
"""Tags of TIFF that say how a file stores its pixels, orientation and resolution, which are kept elsewhere, and what
describes the picture as it was before."""


@dataclass(frozen=True)
class Source:
    """A picture as it was given: what a network sees, and what a result is to keep of it."""

    name: str
    pixels: Picture
    """(H, W, 3), sRGB, transparency laid on white: what the network sees."""
    own: Colours
    """Its colours in its own profile, and its transparency."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Under Pillow's names: EXIF data, resolution."""
    lossy: str = ""
    """The format that changed its pixels when it was saved; nothing where none did."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read, a sentence each."""

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)  # what was recorded of an original holds for it as it is

    @classmethod
    def of(
        cls,
        given: ImageLike | Source,
        size: Size | None = None,
        name: str = "the image",
        like: Source | None = None,
        words: str = "",
    ) -> Source:
        """A picture of any size, or of one that is wanted: a file, a Pillow image of any mode, or an array (H, W, 3) of
        uint8, in arrays of its own. Where its colour profile is not that of `like`, but its numbers are, it is read in
        the profile of `like`. Raises `SigeError` for anything else, and for another size, in a sentence that ends in
        `words` (see `Wanted`)."""
        wanted = None if size is None else Wanted(size, words or "this model takes {}; " + RESIZE)
        if isinstance(given, Source):
            if wanted:
                wanted.check(given.size, given.name)
            return given
        read = opened(given, name, wanted)
        if not isinstance(read.pixels, Image.Image):
            own, metadata = Colours(_checked(read.pixels, read.name)), {}
        else:
            own, metadata = colours(read.pixels, read.name, read.low), _metadata(read.pixels)
        notes = [*read.notes, *own.notes]
        if read.deep:
            kept = DEEP if own.low is not None else "has 16 bits a channel, of which 8 are kept"
            notes.append(f"{read.name} {kept}")
        if like and not own.alike(like.own) and _copied(own, like):
            what = "another colour profile than the original" if own.profile else "no colour profile"
            notes.append(f"{read.name} has {what}, but the same numbers: it is read as the original is")
            own = own._replace(profile=like.own.profile)
        return cls(read.name, own.srgb, own, metadata, read.lossy, tuple(notes))

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        arrays = (self.pixels, self.own.rgb, self.own.alpha, self.own.low)
        return sum(array.nbytes for array in arrays if array is not None)

    def part(self, box: Box) -> Source:
        """A part of the picture, in arrays of its own."""
        return self._each(lambda whole: box.of(whole).copy())

    def patched(self, box: Box, part: Source) -> Source:
        """The picture with another part in a place, which is as its own are."""
        parts = iter((part.pixels, part.own.rgb, part.own.alpha, part.own.low))

        def patched(whole: Any) -> Any:
            whole = whole.copy()
            box.of(whole)[...] = next(of for of in parts if of is not None)
            return whole

        return self._each(patched)

    def _each(self, do: Callable[[Any], Any]) -> Source:
        """The same, with something done to each of its arrays: to `pixels`, colours, transparency and lower bits."""
        own, arrays = self.own, (self.pixels, self.own.rgb, self.own.alpha, self.own.low)
        made: list[Any] = [None if array is None else do(array) for array in arrays]
        pixels, rgb, alpha, low = made
        return replace(self, pixels=pixels, own=own._replace(rgb=rgb, alpha=alpha, low=low))

    @property
    def image(self) -> Image.Image:
        """As a Pillow image with its profile and all else that a file may keep, lower bits as `save_image` has them."""
        rgb, alpha, low = self.own.rgb, self.own.alpha, self.own.low
        image = Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha]))
        image.info.update(self.metadata)
        if low is not None:
            image.info[LOW] = low
        if self.own.profile:
            image.info["icc_profile"] = self.own.profile.data
        return image

    def changed(self, result: Picture, mask: Mask, edited: Source | None = None) -> Source:
        """The picture with a network's result where `mask`, bool (H, W), says, in the profile of this one and as near
        as 8 bits of it come; all else is exactly this one's. There the transparency is that of the picture that was
        `edited`, if it has any; else what was painted over is opaque."""
        inside, own = mask[..., None], self.own
        colour, alpha = result, own.alpha
        if alpha is not None and edited is not None:
            theirs = edited.own.alpha
            if theirs is None:
                theirs = np.where((edited.pixels != self.pixels).any(-1), 255, alpha).astype(np.uint8)
            alpha = np.where(mask, theirs, alpha).astype(np.uint8)
        if alpha is not None:
            colour = off_white(result, alpha)
        if own.profile:
            colour = own.profile.from_srgb(colour)
        low = own.low
        if low is not None:  # of a channel of 8 bits: so white stays white
            low = np.where(inside, colour if alpha is None else np.dstack([colour, alpha]), low)
        own = own._replace(rgb=np.where(inside, colour, own.rgb), alpha=alpha, low=low)
        return replace(self, pixels=np.where(inside, own.srgb, self.pixels), own=own)


def _checked(pixels: npt.NDArray[Any], name: str) -> Picture:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise SigeError(f"{name} is an array {pixels.shape} of {pixels.dtype}: it must be (H, W, 3) of uint8")
    return np.array(pixels, order="C")


def _copied(own: Colours, original: Source) -> bool:
    """Whether a picture has more of the original's numbers than of its colours: a program that knows no profiles has
    dropped the original's, or put another in its place."""

    def alike(one: Picture, other: Picture) -> int:
        return int((np.abs(one.astype(np.int16) - other) <= NEAR).all(-1).sum())

    return alike(own.rgb, original.own.rgb) > alike(own.srgb, original.pixels)


def _metadata(image: Image.Image) -> dict[str, Any]:
    """What a copy should keep, as far as it can be read."""
    kept: dict[str, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of EXIF data that end early
            exif = image.getexif()
        for tag in _NOT_KEPT & set(exif):
            del exif[tag]
        if len(exif):
            kept["exif"] = exif.tobytes()
        dpi = tuple(float(value) for value in image.info["dpi"]) if "dpi" in image.info else ()
        if len(dpi) == 2 and all(0 < value < 1e6 for value in dpi):
            kept["dpi"] = dpi
    except Exception:  # metadata are anything that somebody wrote, and not worth a picture
        return kept
    return kept


def to_model(pixels: Picture) -> mx.array:
    """(H, W, 3) uint8 to float32 (1, H, W, 3) in [-1, 1]."""
    return mx.array(pixels.astype(np.float32)[None] / 127.5 - 1)


def from_model(x: mx.array) -> Picture:
    """float32 (1, H, W, 3) in [-1, 1], clipped, to (H, W, 3) uint8. Raises `SigeError` for what is no picture."""
    scaled = np.asarray(x, np.float32)[0] * 127.5 + 127.5
    if not np.isfinite(scaled).all():
        raise SigeError(
            "the network's picture holds values that are not finite: its weights are damaged, or too large for the"
            " precision of this device"
        )
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
