"""Label maps, which say what every pixel shows: read from pictures, shown as pictures, and as a network's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx import label_classes
from sige_mlx.editing.colour import Picture, alpha_of
from sige_mlx.errors import SigeError
from sige_mlx.label_classes import Palette, palette_of
from sige_mlx.models.spade import LabelToImageConfig
from sige_mlx.pictures import ImageLike, Opened, Size, Wanted, opened

Ids = npt.NDArray[np.int32]
"""(H, W): the class of every pixel, or its instance."""

CITYSCAPES: Palette = palette_of(label_classes.CITYSCAPES)
"""Of ids with the same colour, the first is read."""


def read_map(
    image: ImageLike,
    size: Size | None,
    name: str,
    palette: Palette = CITYSCAPES,
    config: LabelToImageConfig | None = None,
) -> Ids:
    """The ids of a map of `size` (H, W), or of any: of a grey image or (H, W) integers, the values; of a colour image
    or (H, W, 3) uint8, the classes of these colours in `palette`; of an indexed image with a palette of its own, the
    indices. Raises `SigeError` for anything else, for another size, for maps that say nothing for sure (compressed by
    changing them, or transparent somewhere), for a class that the network of a configuration does not know, and for a
    palette of what is no colour."""
    for number, colour in enumerate(palette):
        if not all(0 <= level <= 255 for level in colour):
            raise SigeError(f"the palette has no colour for class {number}: red, green and blue are 0 to 255")
    read = _opened(image, size, name)
    pixels = _fitting(_pixels(read, lambda image: _indices(image, palette)), read.name)
    ids = _ids(pixels, read.name) if pixels.ndim == 2 else _from_colours(pixels, read.name, palette)
    if config:
        check_classes(ids, config, read.name)
    return ids


def read_instances(image: ImageLike, size: Size | None, name: str) -> Ids:
    """The ids of a map of `size` (H, W) of instances: of a grey image or (H, W) integers, the values; of an indexed
    image, the indices; of a colour image or (H, W, 3) uint8, every colour is an object. Raises `SigeError` as
    `read_map` does."""
    read = _opened(image, size, name)
    pixels = _fitting(_pixels(read, np.asarray), read.name)
    return _ids(pixels, read.name) if pixels.ndim == 2 else _codes(pixels)


def _opened(image: ImageLike, size: Size | None, name: str) -> Opened:
    words = "{} is wanted; resize maps by nearest neighbour, which invents no ids"
    read = opened(image, name, None if size is None else Wanted(size, words))
    read.check_certain()
    if read.lossy:
        raise SigeError(f"{read.name} cannot be trusted: {read.lossy} changes colours and ids, so save maps as PNG")
    if read.deep:
        raise SigeError(f"{read.name} has 16 bits a channel, of which 8 would be lost: save it in grey, or with 8")
    if isinstance(read.pixels, Image.Image) and (alpha := alpha_of(read.pixels)) is not None:
        y, x = np.argwhere(alpha < 255)[0].tolist()
        raise SigeError(f"{read.name} is transparent at x = {x}, y = {y}: a map says of every pixel what it shows")
    return read


def check_classes(labels: Ids, config: LabelToImageConfig, name: str = "the label map") -> None:
    """Raises `SigeError` for a class that the network does not know."""
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= config.input_nc:
        wrong = lowest if lowest < 0 else highest
        known = f"this model knows the classes 0 to {config.input_nc - 1}, which `sige-mlx info` lists"
        raise SigeError(f"{name} has the class {wrong}: {known}")


def colours(labels: Ids, palette: Palette = CITYSCAPES) -> Picture:
    """A label map as a picture in the colours of `palette`, which repeat after its last class; in those of Cityscapes
    where it has none."""
    palette = palette or CITYSCAPES
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


def _pixels(read: Opened, indexed: Callable[[Image.Image], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Ids (H, W), or colours (H, W, 3), uint8; `indexed` says which of them an indexed image is."""
    image = read.pixels
    if not isinstance(image, Image.Image):
        return image
    if image.mode == "P":
        return indexed(image)
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image.convert("RGB"))
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"))
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    raise SigeError(
        f"{read.name} is a picture of the kind {image.mode}: grey with ids, or in the colours of the classes, would be"
        " right"
    )


def _indices(image: Image.Image, palette: Palette) -> npt.NDArray[Any]:
    """The indices of an indexed image where they are the ids, as in maps with a palette that a dataset or a tool gave
    them: some colour is no class's, and none is that of another class than its index. Otherwise its colours."""
    indices, colours = np.asarray(image), np.asarray(image.convert("RGB"))
    used, first = np.unique(indices, return_index=True)
    classes = _classes(colours.reshape(-1, 3)[first], palette)
    own = (classes < 0).any() and ((classes < 0) | (classes == used)).all()
    return indices if own else colours


def _fitting(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The same, (H, W) of integers or (H, W, 3) of uint8."""
    coloured = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if not coloured and (pixels.ndim != 2 or pixels.dtype.kind not in "iu"):
        raise SigeError(
            f"{name} is an array {pixels.shape} of {pixels.dtype}: it must be (H, W) of integers, or (H, W, 3) of uint8"
        )
    return pixels


def _ids(pixels: npt.NDArray[Any], name: str) -> Ids:
    """Integers, checked before they are cast: most would become others without a word."""
    limits = np.iinfo(np.int32)
    for wrong in (int(pixels.min()), int(pixels.max())):
        if not limits.min <= wrong <= limits.max:
            raise SigeError(f"{name} has the id {wrong}: ids are {limits.min} to {limits.max}")
    return pixels.astype(np.int32)


def _from_colours(pixels: Picture, name: str, palette: Palette) -> Ids:
    if not palette:
        raise SigeError(
            f"{name} is in colours, and nobody told those of this model's classes: give it in grey, with ids, or put"
            " labels.json beside the model's config.json"
        )
    ids = _classes(pixels, palette)
    if (ids < 0).any():
        y, x = np.argwhere(ids < 0)[0].tolist()
        colour = tuple(pixels[y, x].tolist())
        known = "it is none of the classes', which `sige-mlx info` lists"
        raise SigeError(f"{name} has the colour {colour} at x = {x}, y = {y}: {known}")
    return ids


def _classes(colours: npt.NDArray[np.uint8], palette: Palette) -> Ids:
    """The class of each of the colours (..., 3), -1 for no class's."""
    if not palette:
        return np.full(colours.shape[:-1], -1, np.int32)
    codes, known = _codes(colours), _codes(np.asarray(palette, np.uint8))
    distinct, first = np.unique(known, return_index=True)
    at = np.searchsorted(distinct, codes).clip(max=len(distinct) - 1)
    return np.where(distinct[at] == codes, first[at], -1).astype(np.int32)


def _codes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """One number for each colour."""
    r, g, b = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (r << 16) | (g << 8) | b
