"""The classes of label maps: what they are called, and the colours that they have in pictures."""

import os.path
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sige_mlx import families
from sige_mlx.described import read_json
from sige_mlx.errors import SigeError, printable

Colour = tuple[int, int, int]
"""Red, green and blue."""

Palette = tuple[Colour, ...]
"""The colour of each class, from 0 on."""


class LabelClass(NamedTuple):
    name: str
    colour: Colour


Classes = tuple[LabelClass, ...]
"""In the order of their ids, from 0 on."""

CITYSCAPES: Classes = (
    LabelClass("unlabeled", (0, 0, 0)),
    LabelClass("ego vehicle", (0, 0, 0)),
    LabelClass("rectification border", (0, 0, 0)),
    LabelClass("out of roi", (0, 0, 0)),
    LabelClass("static", (0, 0, 0)),
    LabelClass("dynamic", (111, 74, 0)),
    LabelClass("ground", (81, 0, 81)),
    LabelClass("road", (128, 64, 128)),
    LabelClass("sidewalk", (244, 35, 232)),
    LabelClass("parking", (250, 170, 160)),
    LabelClass("rail track", (230, 150, 140)),
    LabelClass("building", (70, 70, 70)),
    LabelClass("wall", (102, 102, 156)),
    LabelClass("fence", (190, 153, 153)),
    LabelClass("guard rail", (180, 165, 180)),
    LabelClass("bridge", (150, 100, 100)),
    LabelClass("tunnel", (150, 120, 90)),
    LabelClass("pole", (153, 153, 153)),
    LabelClass("polegroup", (153, 153, 153)),
    LabelClass("traffic light", (250, 170, 30)),
    LabelClass("traffic sign", (220, 220, 0)),
    LabelClass("vegetation", (107, 142, 35)),
    LabelClass("terrain", (152, 251, 152)),
    LabelClass("sky", (70, 130, 180)),
    LabelClass("person", (220, 20, 60)),
    LabelClass("rider", (255, 0, 0)),
    LabelClass("car", (0, 0, 142)),
    LabelClass("truck", (0, 0, 70)),
    LabelClass("bus", (0, 60, 100)),
    LabelClass("caravan", (0, 0, 90)),
    LabelClass("trailer", (0, 0, 110)),
    LabelClass("train", (0, 80, 100)),
    LabelClass("motorcycle", (0, 0, 230)),
    LabelClass("bicycle", (119, 11, 32)),
    LabelClass("license plate", (0, 0, 142)),
)
"""The ids 0 to 34 (Cordts et al. 2016)."""


def palette_of(classes: Classes) -> Palette:
    return tuple(c.colour for c in classes)


def classes_of(config: Any, path: Path | None) -> Classes:
    """The classes that a network of label maps knows: those in the file `path`, an object from names to [red, green,
    blue] in the order of the ids, if there is one; else Cityscapes', if it has as many. Nothing for what nobody told,
    and for other networks. Raises `SigeError` for a file that says something else."""
    count = config.input_nc if families.of(config).task == "labels" else 0
    if path is None or not os.path.exists(path):
        return CITYSCAPES if count == len(CITYSCAPES) else ()
    purpose = f"the colours of {count} classes"
    named = read_json(path, purpose)
    try:
        colours = np.array(list(named.values()))
    except (AttributeError, ValueError, TypeError):
        colours = np.array(())
    if colours.shape != (count, 3) or colours.dtype.kind != "i" or colours.min() < 0 or colours.max() > 255:
        raise SigeError(f"{path} cannot be read as {purpose}, three numbers of 0 to 255 each")
    return tuple(
        LabelClass(printable(name), (r, g, b)) for name, (r, g, b) in zip(named, colours.tolist(), strict=True)
    )
