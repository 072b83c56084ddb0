"""The edits that are measured: blobs of the paper's sizes, and a stroke that somebody painted."""

import numpy as np
from PIL import Image

from sige_mlx.graph.tiling import Size
from sige_mlx.masks import difference_mask
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import open_image
from sige_mlx.zoo import ASSETS

PERCENTS = (1.2, 7.2, 15.5)
"""Sizes of the paper's edits: shares of the pixels under the dilated mask."""


def stroke(size: Size) -> Mask:
    """The island that is painted into the picture of the demo, on images of any size: bool (H, W), not dilated."""
    names = ("original", "painted")
    original, painted = (np.asarray(open_image(ASSETS / "demo" / f"{name}.png").convert("RGB")) for name in names)
    mask = Image.fromarray(difference_mask(original, painted, 0.01))
    return np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST), np.bool_)
