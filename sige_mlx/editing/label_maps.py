"""Label maps, which say what every pixel shows: read from pictures, shown as pictures, and as a network's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.editing.images import Picture
from sige_mlx.errors import SigeError
from sige_mlx.models.spade import LabelToImageConfig
from sige_mlx.zoo import Palette

Ids = npt.NDArray[np.int32]
"""(H, W): the class of every pixel, or its instance."""

MapLike = Image.Image | npt.ArrayLike

CITYSCAPES: Palette = (
    ((0, 0, 0),) * 5  # unlabeled, ego vehicle, rectification border, out of roi, static
    + ((111, 74, 0), (81, 0, 81))  # dynamic, ground
    + ((128, 64, 128), (244, 35, 232), (250, 170, 160), (230, 150, 140))  # road, sidewalk, parking, rail track
    + ((70, 70, 70), (102, 102, 156), (190, 153, 153))  # building, wall, fence
    + ((180, 165, 180), (150, 100, 100), (150, 120, 90))  # guard rail, bridge, tunnel
    + ((153, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0))  # pole, polegroup, traffic light and sign
    + ((107, 142, 35), (152, 251, 152), (70, 130, 180))  # vegetation, terrain, sky
    + ((220, 20, 60), (255, 0, 0))  # person, rider
    + ((0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 0, 90), (0, 0, 110))  # car, truck, bus, caravan, trailer
    + ((0, 80, 100), (0, 0, 230), (119, 11, 32))  # train, motorcycle, bicycle
    + ((0, 0, 142),)  # license plate
)
"""Colours of the ids 0 to 34 (Cordts et al. 2016); of ids with the same colour, the first is read."""


def read_map(image: MapLike, size: tuple[int, int], name: str, palette: Palette = CITYSCAPES) -> Ids:
    """The ids of a map of `size` (H, W): of a grey image or (H, W) integers, the values; of a colour image or (H, W, 3)
    uint8, the classes of these colours in `palette`; of an indexed image with a palette of its own, the indices. Raises
    `SigeError` for anything else, and for another size."""
    pixels = _pixels(image, name, palette) if isinstance(image, Image.Image) else np.asarray(image)
    coloured = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if not coloured and (pixels.ndim != 2 or pixels.dtype.kind not in "iu"):
        raise SigeError(
            f"{name} is an array {pixels.shape} of {pixels.dtype}: it must be (H, W) of integers, or (H, W, 3) of uint8"
        )
    if pixels.shape[:2] != size:
        h, w = pixels.shape[:2]
        raise SigeError(f"{name} is {w}×{h} pixels (width × height): this model takes {size[1]}×{size[0]}")
    return _from_colours(pixels, name, palette) if coloured else pixels.astype(np.int32)


def check_classes(labels: Ids, config: LabelToImageConfig, name: str = "the label map") -> None:
    """Raises `SigeError` for a class that the network does not know."""
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= config.input_nc:
        wrong = lowest if lowest < 0 else highest
        raise SigeError(f"{name} has the class {wrong}: this model knows the classes 0 to {config.input_nc - 1}")


def colours(labels: Ids, palette: Palette = CITYSCAPES) -> Picture:
    """A label map as a picture in the colours of `palette`, which repeat after its last class."""
    return np.asarray(palette, np.uint8)[labels % len(palette)]


def edges(instances: Ids) -> npt.NDArray[np.bool_]:
    """Pixels that differ from one of their four neighbours: bool (H, W)."""
    found = np.zeros(instances.shape, np.bool_)
    for axis in (0, 1):
        step = np.diff(instances, axis=axis) != 0
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (1, 0), (0, 1)
        found |= np.pad(step, before) | np.pad(step, after)
    return found


def encode(labels: Ids, instances: Ids, config: LabelToImageConfig) -> npt.NDArray[np.float32]:
    """The network's input (1, H, W, semantic_nc): one channel a class and, where the network has it, one for the edges
    between instances. Raises `SigeError` for a class that the network does not know."""
    check_classes(labels, config)
    encoded = np.zeros((1, *labels.shape, config.semantic_nc), np.float32)
    np.put_along_axis(encoded[0], labels[..., None], 1, axis=-1)
    if not config.no_instance:
        encoded[0, ..., -1] = edges(instances)
    return encoded


def _pixels(image: Image.Image, name: str, palette: Palette) -> npt.NDArray[Any]:
    if image.mode in ("P", "RGB", "RGBA"):
        colours = np.asarray(image.convert("RGB"))
        return _indices(image, colours, palette) if image.mode == "P" else colours
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    raise SigeError(
        f"{name} is a picture of the kind {image.mode}: grey with ids, or in the colours of the classes, would be right"
    )


def _indices(image: Image.Image, colours: Picture, palette: Palette) -> npt.NDArray[Any]:
    """The indices of an indexed image where they are the ids, as in maps with a palette that a dataset or a tool gave
    them: some colour is no class's, and none is that of another class than its index. Otherwise `colours`."""
    indices = np.asarray(image)
    used, first = np.unique(indices, return_index=True)
    classes = _classes(colours.reshape(-1, 3)[first], palette)
    own = (classes < 0).any() and ((classes < 0) | (classes == used)).all()
    return indices.astype(np.int32) if own else colours


def _from_colours(pixels: Picture, name: str, palette: Palette) -> Ids:
    ids = _classes(pixels, palette)
    if (ids < 0).any():
        y, x = np.argwhere(ids < 0)[0].tolist()
        colour = tuple(pixels[y, x].tolist())
        raise SigeError(f"{name} has the colour {colour} at x = {x}, y = {y}: it is none of the classes'")
    return ids


def _classes(colours: npt.NDArray[np.uint8], palette: Palette) -> Ids:
    """The class of each of the colours (..., 3), -1 for no class's."""
    codes, known = _codes(colours), _codes(np.asarray(palette, np.uint8))
    distinct, first = np.unique(known, return_index=True)
    at = np.searchsorted(distinct, codes).clip(max=len(distinct) - 1)
    return np.where(distinct[at] == codes, first[at], -1).astype(np.int32)


def _codes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """One number for each colour."""
    r, g, b = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (r << 16) | (g << 8) | b
