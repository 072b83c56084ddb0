"""Pictures as people give them: files, Pillow images and arrays. What can be known of one before it is decoded is asked
first: whether it is a picture, and whether it has the size that is wanted."""

from __future__ import annotations

import logging
import os
import stat
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sige_mlx.errors import SigeError, first_line

# What Pillow logs of damaged files is in our sentences; a program that wants its log still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

ImageLike: TypeAlias = Image.Image | npt.ArrayLike | os.PathLike[str]
"""A Pillow image, an array, or the path of a file."""

Size: TypeAlias = tuple[int, int]
"""(H, W)."""

READ = (
    *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "TGA", "AVIF", "JPEG2000"),
    *("ICO", "ICNS", "PCX", "PSD", "QOI", "SGI", "DDS"),
)
"""Pillow's names of the formats that are read. Others are no pictures, or have another program decode them (EPS)."""

MOST_PIXELS = 1 << 27
"""As 11585×11585: more than cameras have, and little enough to hold a few copies."""

_LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "AVIF": "AVIF", "JPEG2000": "JPEG 2000", "DDS": "DDS"}
_LOSSY_TIFF = ("jpeg", "webp")
_OTHER_ORDER = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}
"""Pillow's names of how channels of 16 bits are stored, and of the same with their bytes exchanged."""
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values that swap height and width


class Wanted(NamedTuple):
    """The size that a picture should have, and a sentence's end that says why and what to do; `{}` is the size."""

    size: Size
    words: str = "{} would be right"

    def check(self, size: tuple[int, ...], name: str) -> None:
        """Raises `SigeError` for a picture `name` of another size (H, W)."""
        if tuple(size) != tuple(self.size):
            words = self.words.format(f"{self.size[1]}×{self.size[0]}")
            raise SigeError(f"{name} is {size[1]}×{size[0]} pixels (width × height): {words}")


class Opened(NamedTuple):
    """A picture that was read whole, upright as its EXIF orientation asks."""

    name: str
    """What to call it in a sentence: its path, or its part in an edit."""
    pixels: Image.Image | npt.NDArray[Any]
    lossy: str = ""
    """The format that changed its pixels when it was saved; nothing where none did."""
    deep: bool = False
    """Whether its channels had 16 bits, of which Pillow keeps the upper 8."""
    low: Image.Image | None = None
    """Of these the lower 8, where they could be read."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read, a sentence each."""

    def check_certain(self) -> None:
        """Raises `SigeError` for a picture that could be read in more ways than one, which a photograph may be, but
        not one that says what each pixel is."""
        if self.notes:
            raise SigeError(f"{self.notes[0]}, which may be another than was meant: save it as PNG")


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """A picture file, read whole, upright as its EXIF orientation asks. Its colour profile, EXIF data and resolution
    are in `info`. Raises `SigeError` if it is missing or none.

        picture = sige_mlx.open_image("sea.png")
    """
    image = opened(path, "it").pixels
    if not isinstance(image, Image.Image):
        raise SigeError(f"{type(path).__name__} is no path: give the name of a picture file")
    return image


def opened(given: ImageLike, name: str, wanted: Wanted | None = None) -> Opened:
    """A picture read whole; one that is no file is called `name`. Raises `SigeError` for what is none, cannot be read
    or has another size than the one that is wanted, a picture of millions of pixels before it is decoded."""
    path = _path(given)
    if path is not None:
        with _sentences(path), Image.open(_regular(path)) as image:
            return _decoded(image, path, wanted)
    if isinstance(given, Image.Image):
        with _sentences(name):
            return _decoded(given, name, wanted)
    array = _array(given, name)
    if wanted and array.ndim >= 2:
        wanted.check(array.shape[:2], name)
    _check_pixels(array.shape[:2], name)
    return Opened(name, array)


def check_is_picture(path: str | os.PathLike[str]) -> None:
    """Raises `SigeError` unless a file begins like a picture: quick, and early."""
    with _sentences(str(path)), Image.open(_regular(os.fsdecode(path))) as image:
        _check_format(image, str(path))


def _path(given: ImageLike) -> str | None:
    """The name of a file; None for what is none."""
    if not isinstance(given, str | bytes | os.PathLike):
        return None
    path = os.fsdecode(given)
    if "\0" in path:  # as in the contents of a file
        raise SigeError(f"{type(given).__name__} of {len(path)} characters are no path: give the name of a file")
    return path


def _regular(path: str) -> str:
    """The path of a file that can be read twice, and to its end. Raises `SigeError` for a pipe or a device."""
    if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):
        raise SigeError(f"{path} is a pipe or a device: a picture in a regular file is wanted")
    return path


def _decoded(image: Image.Image, name: str, wanted: Wanted | None) -> Opened:
    _check_format(image, name)
    if wanted and sorted(image.size) != sorted(wanted.size):
        wanted.check(_upright_size(image), name)
    _check_pixels(image.size, name)
    if image.width * image.height > MOST_PIXELS:
        raise SigeError(f"{name} is {image.width}×{image.height} pixels (width × height): that is too large to edit")
    lossy, deep, notes = _lossy(image), _deep(image), []
    low = _lower_bits(image) if deep else None
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photograph and its previews
        notes.append(f"{name} has several frames: number {image.tell() + 1} is taken")
    exif = _tags(image) if image.format == "TIFF" else None
    image.load()
    try:
        upright = ImageOps.exif_transpose(image)
        if exif:
            upright.info["exif"] = exif
    except Exception as error:  # whatever a broken block of EXIF data may make of its reader
        notes.append(f"{name} has EXIF data that cannot be read ({first_line(error)}): its orientation is ignored")
        upright = image.copy()
        upright.info.pop("exif", None)
    upright.format = image.format
    if wanted:
        wanted.check((upright.height, upright.width), name)
    return Opened(name, upright, lossy, deep, low, tuple(notes))


def _check_pixels(size: tuple[int, ...], name: str) -> None:
    if 0 in size:
        raise SigeError(f"{name} has no pixels: a picture of one or more would be right")


def _check_format(image: Image.Image, name: str) -> None:
    if image.format is not None and image.format not in READ:
        raise SigeError(f"{name} is of the format {image.format}, which is not read: PNG, JPEG or WebP would be right")


def _upright_size(image: Image.Image) -> Size:
    """As far as it is known without decoding, which a PNG file may put its EXIF data behind; of a TIFF file, Pillow
    tells the upright size itself."""
    known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
    try:
        sideways = known and image.getexif().get(_ORIENTATION) in _SIDEWAYS
    except Exception:  # whatever a broken block of EXIF data may make of its reader
        sideways = False
    return image.size if sideways else (image.height, image.width)


def _tags(image: Image.Image) -> bytes | None:
    """The EXIF data of a TIFF file that is not decoded yet, which are its tags, and which no copy of it would have."""
    try:
        copied = Image.Exif()
        copied.load(image.getexif().tobytes())
        copied.pop(_ORIENTATION, None)  # Pillow obeys it as it decodes
        return copied.tobytes()
    except Exception:  # tags are anything that somebody wrote
        return None


def _deep(image: Image.Image) -> bool:
    """Whether a file that is not decoded yet has more bits a channel than the 8 that Pillow will keep."""
    if image.mode.startswith(("I", "F")):
        return False
    arguments = [part for tile in getattr(image, "tile", []) for part in np.atleast_1d(np.array(tile[3], object))]
    if image.format == "PPM":
        return any(isinstance(part, int) and part > 255 for part in arguments)
    return any(isinstance(part, str) and ";16" in part for part in arguments)


def _lower_bits(image: Image.Image) -> Image.Image | None:
    """The lower 8 of a file's 16 bits a channel, upright; None where they cannot be had. Pillow has no images of them:
    it is told that the file stores them in the other order, and decodes it once more."""
    name = getattr(image, "filename", "")
    if not name:
        return None
    with Image.open(name) as again:
        tiles = []
        for tile in again.tile:
            first, *others = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
            if first not in _OTHER_ORDER:
                return None
            other = _OTHER_ORDER[first]
            tiles.append(tile._replace(args=(other, *others) if others else other))
        again.tile = tiles
        again.load()
        return ImageOps.exif_transpose(again)


def _lossy(image: Image.Image) -> str:
    """The format of a file that was compressed by changing it; nothing for others, and for images of no file."""
    compression = str(image.info.get("compression", "")) if image.format == "TIFF" else ""
    if any(name in compression for name in _LOSSY_TIFF):
        return f"TIFF with {compression} compression"
    if image.format == "WEBP":
        return "" if _webp_is_lossless(image) else "lossy WebP"
    return _LOSSY.get(image.format or "", "")


def _webp_is_lossless(image: Image.Image) -> bool:
    """Whether the pixels of a WebP file are in chunks VP8L, not VP8; false where its file is not at hand."""
    name: str | bytes = getattr(image, "filename", "")
    own: Any = getattr(image, "fp", None)
    try:
        if name:
            with open(name, "rb") as file:
                return _first_bitstream(file) == b"VP8L"
        position = own.tell()  # of one that is not decoded yet
        found = _first_bitstream(own)
        own.seek(position)
        return found == b"VP8L"
    except (AttributeError, OSError, ValueError, struct.error):
        return False


def _first_bitstream(file: IO[bytes]) -> bytes:
    """The name of the first chunk of pixels; chunks of metadata come before, frames of animations hold it."""
    file.seek(12)
    while True:
        name, length = struct.unpack("<4sI", file.read(8))
        if name in (b"VP8 ", b"VP8L"):
            return name
        file.seek(16 if name == b"ANMF" else length + length % 2, os.SEEK_CUR)


def _array(given: Any, name: str) -> npt.NDArray[Any]:
    """Anything array-like; bfloat16, which NumPy has not, as floats. Raises `SigeError` for what is none."""
    try:
        try:
            array = np.asarray(given)
        except Exception:
            array = np.asarray(given.tolist())
        if array.dtype.kind == "V":  # ml_dtypes' bfloat16 and such
            array = array.astype(np.float32)
    except Exception as error:
        raise SigeError(f"{name} is a {type(given).__name__} that cannot be read as an array") from error
    if array.dtype == np.object_ or array.ndim == 0:
        kind = type(given).__name__
        raise SigeError(f"{name} is a {kind}: the path of a file, a Pillow image or an array would be right")
    return array


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """What may go wrong with a file, or with an image that Pillow has not decoded yet, as a `SigeError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large pictures and odd metadata
            yield
    except SigeError:
        raise
    except FileNotFoundError:
        raise SigeError(f"{name}: there is no such file") from None
    except IsADirectoryError:
        raise SigeError(f"{name} is a folder: a picture file is wanted") from None
    except UnidentifiedImageError:
        raise SigeError(f"{name} is not a picture that Pillow can read: PNG, JPEG or WebP would be right") from None
    except Image.DecompressionBombError:
        raise SigeError(f"{name} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels: too many to edit") from None
    except Exception as error:  # decoders raise anything, on files that are damaged or were made to do harm
        raise SigeError(f"{name} cannot be read as a picture: {first_line(error)}") from error
