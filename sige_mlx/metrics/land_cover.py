"""What kind of sea and land pictures of the Blue Marble show: the classes that the package's label maps have, seen by a
small network that was trained for this package."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.metrics.convolution import Conv2d
from sige_mlx.metrics.given import Pictures, batch
from sige_mlx.metrics.resample import bilinear

WEIGHTS = Path(__file__).parents[1] / "assets" / "blue-marble-segmenter" / "model.safetensors"


@dataclass(frozen=True)
class LandCoverConfig:
    """The defaults are those of the network in the package. Each of `widths` halves the plane of the one before."""

    classes: int = 12
    widths: tuple[int, ...] = (24, 48, 96, 96)

    @property
    def reduction(self) -> int:
        """By what a picture's sides must be divisible."""
        return int(2 ** len(self.widths))


class LandCoverNet(mlx.nn.Module):
    """A small U-Net (Ronneberger et al. 2015): scores (B, H, W, classes) of each pixel of pictures (B, H, W, 3) from -1
    to 1. They are scores of half the size, enlarged linearly."""

    def __init__(self, config: LandCoverConfig):
        super().__init__()
        widths = config.widths
        self.halving = [Conv2d(i, o, 3, stride=2, padding=1) for i, o in zip((3, *widths), widths, strict=False)]
        self.level = [Conv2d(width, width, 3, padding=1) for width in widths]
        self.joining = [Conv2d(i + o, o, 3, padding=1) for o, i in pairwise(widths)]
        self.scores = Conv2d(widths[0], config.classes, 1)

    def __call__(self, x: mx.array) -> mx.array:
        size = x.shape[1], x.shape[2]
        planes = []
        for halving, level in zip(self.halving, self.level, strict=True):
            x = mlx.nn.relu(level(mlx.nn.relu(halving(x))))
            planes.append(x)
        for plane, joining in zip(planes[-2::-1], self.joining[::-1], strict=True):
            x = mx.repeat(mx.repeat(x, 2, 1), 2, 2)
            x = mlx.nn.relu(joining(mx.concatenate([x, plane], -1)))
        return bilinear(self.scores(x), size)


class LandCover:
    """What the network in the package sees: of each pixel a class, a number from 0 to 11 in the order of the classes of
    `blue-marble-labels-256`. An `Iou` of this with the label maps that pictures were made from is no published measure,
    and comparable with itself alone."""

    def __init__(self) -> None:
        self.config = LandCoverConfig()
        self.network = LandCoverNet(self.config)
        loaded = mx.load(str(WEIGHTS))
        assert isinstance(loaded, dict)
        self.network.load_weights([(name, value.astype(mx.float32)) for name, value in loaded.items()])

    def __call__(self, pictures: Pictures) -> npt.NDArray[np.uint8]:
        """Classes (H, W) or (B, H, W) of pictures (H, W, 3) or (B, H, W, 3): RGB, uint8 or floats from 0 to 1, whose
        sides are multiples of 16. Raises `SigeError` for others."""
        given, multiple = batch(pictures, channels=3), self.config.reduction
        if any(side % multiple for side in given.planes[1:]):
            raise SigeError(
                f"land cover is seen in pictures with sides that are multiples of {multiple}, and this one is"
                f" {given.planes[2]}×{given.planes[1]} (width × height)"
            )
        found = np.empty(given.planes, np.uint8)
        for i in range(len(found)):
            found[i] = np.asarray(mx.argmax(self.network(2 * given.pixels[i : i + 1] - 1), -1))[0]
        return found[0] if given.single else found
