"""Reference pictures, as FLUX.2 reads them beside the one that it edits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.errors import SigeError
from sige_mlx.pictures import ImageLike


def read_references(given: Sequence[ImageLike | Source], patch: int, largest: int) -> list[Picture]:
    """Pictures (H, W, 3) in their own proportions: made smaller where they have more than `largest`² pixels, and cut in
    the middle to whole tokens, as klein was trained. Raises `SigeError` for what is no picture, or smaller than a
    token."""
    return [_fitted(Source.of(one, name=f"reference {i + 1}"), patch, largest) for i, one in enumerate(given)]


def _fitted(source: Source, patch: int, largest: int) -> Picture:
    height, width = source.size
    scale = min(1.0, largest / (height * width) ** 0.5)
    size = round(width * scale), round(height * scale)
    cut = size[0] // patch * patch, size[1] // patch * patch
    if not min(cut):
        raise SigeError(f"{source.name} is {width}×{height} pixels: a reference has {patch} a side or more")
    image = Image.fromarray(np.ascontiguousarray(source.pixels))
    if size != (width, height):
        image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - cut[0]) // 2, (size[1] - cut[1]) // 2
    return np.asarray(image.crop((left, top, left + cut[0], top + cut[1])))
