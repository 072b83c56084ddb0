"""The label maps of `sige-mlx demo labels`: coasts of the held-out band, and the same with an island and a
lake painted.

    python -m benchmarks.recipes.label_demo sige_mlx/assets/demo

writes them, from the root of a checkout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from PIL import Image, ImageDraw

from .blue_marble import Box, columns, rows
from .blue_marble_labels import ID, PALETTE, PICTURE, LabelledBlueMarble

SIZE = 256
COAST = Box(columns(10), rows(46), SIZE)  # from the Po to the Gulf of Sidra, and from Corsica to the Bosporus

# Painted one over the other: a label, and the corners of its area in pixels.
PAINTED = (
    ("shallow sea", ((101, 146), (117, 133), (139, 130), (157, 139), (160, 156), (146, 170), (122, 172), (106, 162))),
    ("grassland", ((108, 147), (119, 138), (138, 135), (151, 143), (153, 155), (143, 165), (123, 166), (112, 159))),
    ("desert", ((112, 158), (124, 165), (142, 164), (149, 158), (138, 157), (124, 155))),
    ("forest", ((112, 147), (121, 141), (137, 139), (147, 145), (146, 151), (133, 154), (119, 153))),
    ("wooded mountains", ((122, 144), (136, 142), (141, 146), (133, 149), (124, 149))),
    ("bare mountains", ((127, 144), (135, 143), (136, 146), (129, 147))),
    ("forest", ((22, 226), (32, 218), (46, 219), (54, 227), (50, 237), (38, 242), (26, 238))),
    ("lake", ((27, 227), (34, 222), (45, 223), (49, 228), (46, 234), (37, 238), (29, 235))),
    ("lake", ((117, 157), (122, 156), (123, 159), (119, 160))),
)


def painted(labels: Image.Image) -> Image.Image:
    """A copy of the label map with the island and the lake on it."""
    image = labels.copy()
    draw = ImageDraw.Draw(image)
    for name, corners in PAINTED:
        draw.polygon(corners, fill=ID[name])
    return image


def as_palette_picture(labels: np.ndarray) -> Image.Image:
    """A label map `[H, W]` whose pixels are the labels and whose palette are their colours."""
    image = Image.fromarray(labels, "P")
    image.putpalette(PALETTE.tobytes())
    return image


def main(folder: Path) -> None:
    """Write `labels.png` and `labels-painted.png` to FOLDER."""
    labels = as_palette_picture(LabelledBlueMarble().crop_labels(COAST, SIZE, PICTURE))
    labels.save(folder / "labels.png", optimize=True)
    painted(labels).save(folder / "labels-painted.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
