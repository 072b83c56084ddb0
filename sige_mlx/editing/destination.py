"""Where results go: what a file of a name can hold, asked before anything is computed, and files written whole or not
at all."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sige_mlx import scratch
from sige_mlx.editing.colour import Profile, over_white
from sige_mlx.editing.deep import LOW, WRITERS, deep
from sige_mlx.errors import SigeError, first_line
from sige_mlx.pictures import open_image


class Format(NamedTuple):
    """A picture format that results are written in."""

    name: str
    """Pillow's."""
    options: dict[str, Any] = {}  # noqa: RUF012, never written to
    """Of Pillow's `save`."""
    lossy: bool = False
    """Whether every pixel changes a little, those that were not edited too."""
    alpha: bool = False
    """Whether it has room for transparency."""
    keeps: tuple[str, ...] = ()
    """What it has room for besides pixels, under Pillow's names."""


_ALL = ("icc_profile", "exif", "dpi")
_JPEG = Format("JPEG", {"quality": 95, "subsampling": "4:4:4"}, lossy=True, keeps=_ALL)
_TIFF = Format("TIFF", {"compression": "tiff_adobe_deflate"}, alpha=True, keeps=_ALL)

FORMATS = {
    ".png": Format("PNG", alpha=True, keeps=(*_ALL, "pnginfo")),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": Format("WEBP", {"lossless": True, "exact": True}, alpha=True, keeps=("icc_profile", "exif")),
    ".bmp": Format("BMP", keeps=("dpi",)),
    ".ppm": Format("PPM"),
    ".tga": Format("TGA", alpha=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".avif": Format("AVIF", {"quality": 95, "subsampling": "4:4:4"}, True, True, ("icc_profile", "exif")),
}
"""By extension. All that is not here has room for less than a picture in full colour, or does not come back as it was
written."""

RIGHT = ".png, .tiff or .webp"
"""Those that keep a picture exactly, with all that belongs to it."""


def check_picture(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Format:
    """The format that a picture will have in the file `path`. Raises `SigeError` where it cannot be written, as far as
    that can be known before there is a picture, and for one of the files that it is made from."""
    path = Path(path)
    image_format = FORMATS.get(path.suffix.lower())
    if image_format is None:
        check_file(path, inputs)  # a folder or a device is the greater mistake
        raise SigeError(
            f"{path}: the extension {path.suffix!r} names no picture format that holds a result; {RIGHT} would be right"
        )
    Image.init()
    if image_format.name not in Image.SAVE:
        raise SigeError(f"{path}: this Pillow cannot write {image_format.name}; {RIGHT} would be right")
    check_file(path, inputs)
    return image_format


def check_file(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Raises `SigeError` unless a file can be written at `path`, and where it is one of the `inputs`."""
    path = Path(path)
    target = _target(path)
    for given in inputs:
        with contextlib.suppress(OSError):
            if os.path.samefile(target, given):
                raise SigeError(f"{path} is what the result is made from: give it another name")
    with _sentences(path), _beside(target):
        pass


def check_apart(one: str | os.PathLike[str], other: str | os.PathLike[str], names: str) -> None:
    """Raises `SigeError` where two results, whose options are called `names`, would go to one file; names that differ
    by case alone are one file on most Macs."""
    spelled = [unicodedata.normalize("NFC", str(_target(Path(path)))).casefold() for path in (one, other)]
    if spelled[0] == spelled[1]:
        raise SigeError(f"{names} are both {one}: they must be two files")


def save_image(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Writes a picture whole or not at all; the extension says the format. Its colour profile, EXIF data and resolution
    (in `image.info`) go with it where the format has room; where there is none for transparency it is laid on white.
    Raises `SigeError` when it cannot be written.

        result = session.edit("island.png")
        sige_mlx.save_image(result.picture, "new.png")
    """
    if not isinstance(image, Image.Image):
        raise SigeError(f"what is to be written into {path} is a {type(image).__name__}: it must be a Pillow image")
    image_format = check_picture(path)
    kept = {name: image.info[name] for name in image_format.keeps if image.info.get(name)}

    def write(file: IO[bytes]) -> None:
        held, written = image, io.BytesIO()
        if held.mode in ("RGB", "RGBA") and "icc_profile" in held.info and "icc_profile" not in kept:
            held = in_srgb(held)
        if held.mode == "RGBA" and not image_format.alpha:
            held = on_white(held)
        # In memory first: on a full disk Pillow takes the half that was still written for the whole.
        if (pixels := deep(held)) is not None and image_format.name in WRITERS:
            WRITERS[image_format.name](written, pixels, kept)
        else:
            held.save(written, format=image_format.name, **image_format.options, **kept)
        file.write(written.getbuffer())

    write_whole(path, write)


def losses(image: Image.Image, path: str | os.PathLike[str]) -> list[str]:
    """What a picture loses in the format of a file, a sentence each."""
    image_format, told = FORMATS[Path(path).suffix.lower()], []
    if image_format.lossy:
        told.append(f"{path} is {image_format.name}, which changes all pixels a little; {RIGHT} would not")
    if image.mode == "RGBA" and not image_format.alpha:
        told.append(f"{path} has no room for transparency: the picture is laid on white; {RIGHT} would keep it")
    if LOW in image.info and image_format.name not in WRITERS:
        told.append(f"{path} has no room for 16 bits a channel: 8 are kept; .png or .tiff would keep them")
    if "icc_profile" in image.info and "icc_profile" not in image_format.keeps:
        told.append(f"{path} has no room for a colour profile: its colours are sRGB; {RIGHT} would keep the profile")
    return told


SIGNATURE = "sige-mlx demo"


def signed(image: Image.Image) -> Image.Image:
    """A picture whose PNG file says that the demo made it."""
    signature = PngInfo()
    signature.add_text("Software", SIGNATURE)
    image.info["pnginfo"] = signature
    return image


def own_or_new(path: Path) -> Path:
    """A name that is free or that of a file that the demo made: the given one, or one with a number."""
    for number in count(1):
        candidate = path.with_stem(f"{path.stem}-{number}") if number > 1 else path
        if not os.path.lexists(candidate):
            return candidate
        with contextlib.suppress(Exception), open_image(candidate) as image:
            if image.info.get("Software") == SIGNATURE:
                return candidate
    raise AssertionError("there is always another number")


def save_text(text: str, path: str | os.PathLike[str]) -> None:
    """Writes a text in UTF-8, whole or not at all. Raises `SigeError` when it cannot be written."""
    write_whole(path, lambda file: file.write(text.encode()))


def on_white(image: Image.Image) -> Image.Image:
    """A transparent picture laid on white."""
    pixels = np.asarray(image)
    laid = Image.fromarray(over_white(pixels[..., :3], pixels[..., 3]))
    laid.info.update(image.info)
    return laid


def in_srgb(image: Image.Image) -> Image.Image:
    """A picture whose colours are in a profile of its own, in sRGB."""
    pixels = np.array(image)
    pixels[..., :3] = Profile(image.info["icc_profile"]).to_srgb(pixels[..., :3])
    return Image.fromarray(pixels)


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> None:
    """Has a file written beside the one at `path`, and then in its place: at any moment there is the old one or the new
    one. Raises `SigeError` when it cannot be written."""
    path = Path(path)
    target = _target(path)
    with _sentences(path), _beside(target) as (temporary, file):
        write(file)
        file.flush()
        os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)


def _target(path: Path) -> Path:
    """The file that a path leads to, through links; raises `SigeError` where there can be none."""
    with _sentences(path):
        try:
            target = path.resolve()
        except RuntimeError:  # as Python called it before 3.13
            raise SigeError(f"{path} cannot be written: it is a link that leads to itself") from None
        with contextlib.suppress(FileNotFoundError):
            mode = target.stat().st_mode  # says so of names that are too long
            if stat.S_ISDIR(mode):
                raise SigeError(f"{path} is a folder: the name of a file is wanted")
            if not stat.S_ISREG(mode):
                raise SigeError(f"{path} is no file, which is written whole or not at all: give the name of one")
            if not os.access(target, os.W_OK):
                raise SigeError(f"{path} cannot be written: it is read-only")
        if not target.parent.is_dir():
            raise SigeError(f"{path} cannot be written: there is no folder {path.parent}")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise SigeError(f"{path} cannot be written: the folder {path.parent} is read-only")
        return target


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file in the same folder, which is gone after the block unless it has another name by then. Its own is short,
    whatever the other's length."""
    temporary, descriptor = scratch.new_file(target.parent)
    try:
        with open(descriptor, "wb") as file:
            yield temporary, file
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _sentences(path: Path) -> Any:
    """What may go wrong with a file as a `SigeError`."""
    try:
        yield
    except SigeError:
        raise
    except OSError as error:
        raise SigeError(f"{path} cannot be written: {error.strerror or first_line(error)}") from error
    except Exception as error:  # an encoder's: the format has no room for such a picture
        raise SigeError(f"{path} cannot be written: {first_line(error)}") from error
