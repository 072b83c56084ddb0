"""Where an edit is and which tiles it makes the network recompute, as a picture."""

import numpy as np
from PIL import Image, ImageDraw

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.result import EditResult
from sige_mlx.graph.tiling import ActiveTiles, Size

Colour = tuple[int, int, int]

PLANES: tuple[Colour, ...] = ((232, 93, 47), (240, 160, 40), (90, 165, 120), (70, 120, 200), (130, 90, 170))
"""Colours of the planes, the largest first."""


def plane_colours(planes: list[Size]) -> dict[Size, Colour]:
    """A colour for each plane's tiles."""
    return {size: PLANES[i % len(PLANES)] for i, size in enumerate(sorted(planes, reverse=True))}


def overlay(original: Picture, result: EditResult, scale: int) -> Image.Image:
    """The original in pale grey, `scale` times as large, under the active tiles of every plane, coarse ones first, and
    the mask in white on top."""
    h, w = result.mask.shape
    grey = np.asarray(Image.fromarray(original).convert("L").convert("RGB"), np.float32) * 0.35 + 255 * 0.60
    size = (w * scale, h * scale)
    image = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    colours = plane_colours(list(result.levels))
    for plane, level in sorted(result.levels.items()):
        _draw_tiles(image, level, scale * h // plane[0], colours[plane])
    mask = Image.fromarray(result.mask).resize(size, Image.Resampling.NEAREST)
    veil = Image.new("RGB", size, "white")
    return Image.composite(Image.blend(image, veil, 0.55), image, mask)


def _draw_tiles(image: Image.Image, level: ActiveTiles, scale: int, colour: Colour) -> None:
    """The tiles of the first image of a batch, `scale` being the side of one of the plane's pixels."""
    wash = Image.blend(image, Image.new("RGB", image.size, colour), 0.45)
    covered = Image.new("1", image.size)
    fill, side = ImageDraw.Draw(covered), level.tile * scale
    boxes = [(x * side, y * side, (x + 1) * side - 1, (y + 1) * side - 1) for b, y, x in level.rows.tolist() if b == 0]
    for box in boxes:
        fill.rectangle(box, fill=1)
    image.paste(wash, mask=covered)
    draw = ImageDraw.Draw(image)
    for box in boxes:
        draw.rectangle(box, outline=colour)
