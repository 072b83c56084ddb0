"""Pictures in and out: files, 8-bit arrays, and the range [-1, 1] that networks work in."""

import os
import uuid
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sige_mlx.errors import SigeError

Picture = npt.NDArray[np.uint8]
"""(H, W, 3), RGB."""


def open_image(path: str | Path) -> Image.Image:
    """A picture file, read whole, upright as its EXIF orientation asks. Raises `SigeError` if it is missing or none."""
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format
            return upright
    except FileNotFoundError:
        raise SigeError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise SigeError(f"{path} is a folder: a picture file is wanted") from None
    except UnidentifiedImageError:
        raise SigeError(f"{path} is not a picture that Pillow can read: PNG, JPEG or WebP would be right") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SigeError(f"{path} cannot be read as a picture: {error}") from error


def picture(image: Image.Image | npt.ArrayLike, size: tuple[int, int], name: str = "the image") -> Picture:
    """A copy of an image of `size` (H, W) as (H, W, 3) uint8; transparency is laid over white. Raises `SigeError` for
    another size."""
    pixels = np.array(_rgb(image) if isinstance(image, Image.Image) else image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise SigeError(f"{name} is an array {pixels.shape} of {pixels.dtype}: it must be (H, W, 3) of uint8")
    if pixels.shape[:2] != size:
        h, w = pixels.shape[:2]
        raise SigeError(f"{name} is {w}×{h} pixels (width × height): this model takes {size[1]}×{size[0]}")
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    elif image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to 8 bits instead of scaling it
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def to_model(pixels: Picture) -> mx.array:
    """(H, W, 3) uint8 to float32 (1, H, W, 3) in [-1, 1]."""
    return mx.array(pixels.astype(np.float32)[None] / 127.5 - 1)


def from_model(x: mx.array) -> Picture:
    """float32 (1, H, W, 3) in [-1, 1], clipped, to (H, W, 3) uint8."""
    scaled = np.asarray(x, np.float32)[0] * 127.5 + 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def check_destination(path: str | Path) -> str:
    """Pillow's name of the format that `path` will be written in; raises `SigeError` when no picture can be written
    there, which is worth knowing before the picture is computed."""
    path = Path(path)
    image_format = Image.registered_extensions().get(path.suffix.lower())
    if image_format is None or image_format not in Image.SAVE:
        raise SigeError(f"{path}: the extension {path.suffix!r} names no picture format to write; .png would be right")
    check_parent(path)
    return image_format


def check_parent(path: Path) -> None:
    """Raises `SigeError` unless a file can be made at `path`."""
    if path.is_dir():
        raise SigeError(f"{path} is a folder: the name of a file is wanted")
    if not path.parent.is_dir():
        raise SigeError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SigeError(f"{path} cannot be written: the folder {path.parent} is read-only")


def save_image(image: Image.Image, path: str | Path) -> None:
    """Writes a picture whole or not at all; the extension says the format. Raises `SigeError` when it cannot."""
    path = Path(path)
    image_format = check_destination(path)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        with temporary.open("xb") as file:
            image.save(file, format=image_format)
        temporary.replace(path)
    except (OSError, ValueError) as error:  # ValueError: the format has no room for such a picture
        raise SigeError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
