"""Pictures in and out: files, 8-bit arrays, and the range [-1, 1] that networks work in."""

import os
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from sige_mlx.errors import SigeError

Picture = npt.NDArray[np.uint8]
"""(H, W, 3), RGB."""


def open_image(path: str | Path) -> Image.Image:
    """A picture file, read whole, upright as its EXIF orientation asks; raises `SigeError` for one that is missing or no picture."""
    from PIL import ImageOps

    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise SigeError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise SigeError(f"{path} is a folder: a picture file is wanted") from None
    except UnidentifiedImageError:
        raise SigeError(f"{path} is not a picture that Pillow can read: PNG, JPEG or WebP would be right") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise SigeError(f"{path} cannot be read as a picture: {error}") from error


def picture(image: Image.Image | npt.ArrayLike, size: tuple[int, int], name: str = "the image") -> Picture:
    """An image of `size` (H, W) as (H, W, 3) uint8; transparency is laid over white. Raises `SigeError` for another size."""
    if isinstance(image, Image.Image):
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        pixels = np.asarray(image.convert("RGB"))
    else:
        pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise SigeError(f"{name} is an array {pixels.shape} of {pixels.dtype}: it must be (H, W, 3) of uint8")
    if pixels.shape[:2] != size:
        h, w = pixels.shape[:2]
        raise SigeError(f"{name} is {w}x{h} pixels (width x height): this model takes {size[1]}x{size[0]}")
    return np.ascontiguousarray(pixels)


def to_model(pixels: Picture) -> mx.array:
    """(H, W, 3) uint8 to float32 (1, H, W, 3) in [-1, 1]."""
    return mx.array(pixels.astype(np.float32)[None] / 127.5 - 1)


def from_model(x: mx.array) -> Picture:
    """float32 (1, H, W, 3) in [-1, 1], clipped, to (H, W, 3) uint8."""
    scaled = np.asarray(x, np.float32)[0] * 127.5 + 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def save_image(image: Image.Image, path: str | Path) -> None:
    """Writes a picture whole or not at all; the extension says the format. Raises `SigeError` when it cannot."""
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise SigeError(f"{path}: the extension {path.suffix!r} names no picture format; .png would be right")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        raise SigeError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, format=Image.registered_extensions()[path.suffix.lower()])
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        raise SigeError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
