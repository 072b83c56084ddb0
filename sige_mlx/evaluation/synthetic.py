"""Edits made up for judging, each a function of a seed and its number: a segment of one label map moved into another,
as Li et al. 2022 made theirs, and a blob, a stroke or a recolouring of a picture."""

from __future__ import annotations

import colorsys
import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import seed as checked_seed
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.cases import Case
from sige_mlx.evaluation.scenes import Scene, Scenes
from sige_mlx.masks.difference import Mask

SIZES = (1.2, 5.0, 15.0)
"""Edits of pictures in percent of the pixels, as in the paper; of each kind they take turns."""

SEGMENT = (0.002, 0.2)
"""Shares of the pixels of the smallest and the largest segment that is moved."""

KINDS = ("blob", "stroke", "recoloured")
"""Of edits of pictures. They take turns."""

RECOLOURED = 0.5
"""How far colours are moved to a flat one by a recolouring: texture and shading stay."""

FLAT = 48
"""Levels of 255 by which a brush's colour differs at least from what it covers, on average over the channels."""

PIECES = 24
"""Straight ones, of which a curve is made."""

TRIES = 200

SWATCH = 9
"""Pixels a side: a brush has the mean colour of such a square of another picture."""


@dataclass(frozen=True)
class Synthetic:
    """`count` edits of scenes drawn at random."""

    scenes: Scenes
    count: int
    seed: int
    of_labels: bool

    def __post_init__(self) -> None:
        checked_seed(self.seed)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Case:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        return (_moved if self.of_labels else _painted)(self.scenes, index, rng)

    @property
    def identity(self) -> str:
        """Of the scenes and the way that edits are made of them: one seed's first edits are the same however many."""
        told = f"{self.scenes.identity} {self.seed} {SIZES} {SEGMENT} {RECOLOURED} {FLAT} {SWATCH}"
        return hashlib.sha256(told.encode()).hexdigest()


# ---- label maps


def _moved(scenes: Scenes, index: int, rng: np.random.Generator) -> Case:
    """A segment of one map in the same place of another. Every other time it is the map with the segment that is the
    original, and what is edited away: then the edited map is a real one, and its picture the truth."""
    for _ in range(TRIES):
        target, donor = scenes.draw(rng), scenes.draw(rng)
        assert target.labels is not None and donor.labels is not None
        segment = _segment(donor, rng)
        if segment is None:
            continue
        changed = segment & (target.labels != donor.labels)
        if SEGMENT[0] <= changed.mean() <= SEGMENT[1]:
            break
    else:
        raise SigeError("the label maps are too alike: no segment of one of them changes another")
    labels = np.where(segment, donor.labels, target.labels)
    instances = None
    if target.instances is not None:
        instances = np.where(segment, target.instances.max() + 1, target.instances)
    before, after = (target.labels, target.instances), (labels, instances)
    name = f"{donor.name} into {target.name}"
    if index % 2 == 0:
        return Case(name, before[0], after[0], None, before[1], after[1])
    return Case(f"{name}, undone", after[0], before[0], None, after[1], before[1], target.picture)


def _segment(scene: Scene, rng: np.random.Generator) -> Mask | None:
    """An object of a map around a random pixel: its instance, or where there are none, the pixels of its class that
    hang together. None where its size is out of range."""
    ids = scene.labels if scene.instances is None else scene.instances
    assert ids is not None
    start = tuple(int(rng.integers(side)) for side in ids.shape)
    alike: Mask = ids == ids[start]
    if not SEGMENT[0] <= alike.mean():
        return None
    segment = alike if scene.instances is not None else connected(alike, (start[0], start[1]))
    return segment if SEGMENT[0] <= segment.mean() <= SEGMENT[1] else None


def connected(mask: Mask, start: tuple[int, int]) -> Mask:
    """The part of a mask, bool (H, W), that hangs together with a pixel of it by edges of pixels."""
    found = np.zeros_like(mask)
    found[start] = True
    while True:
        grown = found.copy()
        for axis in (0, 1):
            for way in (1, -1):
                grown |= _flooded(grown, mask, axis, way)
        if (grown == found).all():
            return found
        found = grown


def _flooded(found: Mask, mask: Mask, axis: int, way: int) -> Mask:
    """`found` spread along an axis as far as the mask goes on."""
    f, m = (np.moveaxis(x, axis, 1)[:, ::way] for x in (found, mask))
    place = np.arange(m.shape[1])
    walls = np.maximum.accumulate(np.where(m, -1, place), 1)  # the nearest pixel before that is not in the mask
    seen = np.maximum.accumulate(np.where(f, place, -1), 1)
    return np.moveaxis((m & (seen > walls))[:, ::way], 1, axis)


# ---- pictures


def _painted(scenes: Scenes, index: int, rng: np.random.Generator) -> Case:
    """A picture that was painted into; kinds and sizes take turns."""
    kind = KINDS[index % len(KINDS)]
    percent = SIZES[index // len(KINDS) % len(SIZES)]
    target = scenes.draw(rng)
    picture = target.picture
    assert picture is not None
    size = picture.shape[:2]
    if kind == "stroke":
        region = _nearest(_around_curve(size, rng), percent)
    else:
        region = blob_mask(size, percent, seed=int(rng.integers(1 << 32)))
    if kind == "recoloured":
        colour, share = 255 * np.array(colorsys.hsv_to_rgb(rng.random(), 0.8, 0.8)), RECOLOURED
    else:
        colour, share = _swatch(scenes, picture[region].mean(0), rng), 1.0
    moved = np.rint(picture + share * (colour - picture)).astype(np.uint8)
    edited = np.where(region[..., None], moved, picture)
    return Case(f"{kind} of {percent:g} %, {target.name}", picture, edited)


def _nearest(distance: npt.NDArray[np.float64], percent: float) -> Mask:
    """The pixels of so many percent that are nearest."""
    order = np.argsort(distance, axis=None, kind="stable")
    region = np.zeros(distance.shape, np.bool_)
    region.flat[order[: max(1, round(percent / 100 * order.size))]] = True
    return region


def _around_curve(size: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Distances from a curve that one draws with a brush: of second order, by three points."""
    (a, b, c), (y, x) = np.asarray(size) * (0.1 + 0.8 * rng.random((3, 2))), np.mgrid[: size[0], : size[1]]
    share = np.linspace(0, 1, PIECES + 1)[:, None]
    points = (1 - share) ** 2 * a + 2 * share * (1 - share) * b + share**2 * c
    found = np.full(size, np.inf)
    for (py, px), (dy, dx) in zip(points, np.diff(points, axis=0), strict=False):
        along = (((y - py) * dy + (x - px) * dx) / max(dy**2 + dx**2, 1e-9)).clip(0, 1)
        found = np.minimum(found, np.hypot(y - py - along * dy, x - px - along * dx))
    return found


def _swatch(scenes: Scenes, covered: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A colour of a scene, as a person takes one with the eyedropper, that stands out from what it will cover; the most
    different one where none does."""
    best, colour = -1.0, covered
    for _ in range(TRIES // 10):
        scene = scenes.draw(rng).picture
        assert scene is not None
        top, left = (int(rng.integers(max(side - SWATCH, 0) + 1)) for side in scene.shape[:2])
        found = scene[top : top + SWATCH, left : left + SWATCH].mean((0, 1))
        if (difference := float(np.abs(found - covered).mean())) > best:
            best, colour = difference, found
        if best >= FLAT:
            break
    return colour
