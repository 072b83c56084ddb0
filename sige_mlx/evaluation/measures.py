"""How good what a method made of an edit is: in the edited region and whole, against the dense pass and the truth."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import zoo
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.label_maps import Ids
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.cases import checksum
from sige_mlx.label_classes import CITYSCAPES, Classes
from sige_mlx.masks.difference import Mask
from sige_mlx.metrics import (
    FrechetDistance,
    Iou,
    LandCover,
    Lpips,
    Segmenter,
    StLpips,
    land_cover,
    psnr,
    ssim,
    train_ids,
)
from sige_mlx.metrics.iou import CLASSES
from sige_mlx.metrics.lpips import Perceptual
from sige_mlx.metrics.ssim import MARGIN, SIDE

IN, WHOLE = "edited", "whole"
"""Where a measure looks: in the mask of the edit, or everywhere."""

Found = dict[str, dict[str, float | None]]
"""By measure and place; None where it says nothing: an SSIM of an edit at the border, a PSNR of equal pictures."""

HIGHER = frozenset(["PSNR", "SSIM"])
"""Measures of which more is better; of all others less is."""


@dataclass(frozen=True)
class Segmenting:
    """A network that tells classes apart in pictures, by which it is measured how well pictures show what their label
    maps say."""

    name: str
    """What to call the mean intersection over union by it: those of two networks cannot be compared."""
    classes: int
    """That it tells apart."""
    known: Callable[[Ids], npt.NDArray[Any]]
    """Which of them the classes of label maps (H, W) are, 255 for those that do not count."""
    seen: Callable[[Picture], npt.NDArray[Any]]
    """Which of them it sees in a picture (H, W, 3)."""
    weights: str = ""
    """The SHA-256 of its weights where its name does not say which they are, as those that somebody published do."""


class Measures:
    """The measures whose weights are on this machine; `missing` says of each other one what it needs."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        perceptual = (self._there(lambda: Lpips("alex")), self._there(lambda: StLpips("alex")))
        self.perceptual: list[Perceptual] = [measure for measure in perceptual if measure]
        self.frechet = self._there(lambda: FrechetDistance("clean-fid"))

    def _there(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except SigeError as error:
            self.missing.append(str(error))
            return None

    @property
    def names(self) -> tuple[str, ...]:
        """Of what compares two pictures."""
        return ("PSNR", "SSIM", *(measure.name for measure in self.perceptual))

    def compare(
        self, pictures: Mapping[str, Picture], references: Mapping[str, Picture], mask: Mask
    ) -> dict[str, dict[str, Found]]:
        """By reference and name, how near each picture (H, W, 3) is to each reference, by every measure."""
        found: dict[str, dict[str, Found]] = {}
        for to, reference in references.items():
            found[to] = {}
            for name, picture in pictures.items():
                inside, whole = psnr(picture, reference, mask=mask), psnr(picture, reference)
                psnrs = {IN: _finite(inside), WHOLE: _finite(whole)}
                found[to][name] = {"PSNR": psnrs, "SSIM": _ssim(picture, reference, mask)}
        for measure in self.perceptual:
            features = _features(measure, (*pictures.values(), *references.values()))
            for to, reference in references.items():
                for name, picture in pictures.items():
                    told: dict[str, float | None] = {IN: None, WHOLE: None}
                    if features:
                        values = measure.between(features[id(picture)], features[id(reference)], mask)
                        told = dict(zip((IN, WHOLE), values, strict=True))
                    found[to][name][measure.name] = told
        return found

    @property
    def of_sets(self) -> tuple[str, ...]:
        """The name of what compares two sets of pictures: as the scripts of SIGE measure it."""
        return (self.frechet.name,) if self.frechet else ()

    def features(self, picture: Picture) -> str | None:
        """What the Fréchet distance looks at in a picture, as text; None without its weights."""
        if self.frechet is None:
            return None
        return base64.b64encode(self.frechet.features(picture).rows.tobytes()).decode()


def segmenting(classes: Classes) -> Segmenting:
    """What sees these classes of label maps in pictures. Raises `SigeError` where its weights are not on this machine,
    or where there is none."""
    if classes == CITYSCAPES:
        return Segmenting("mIoU", len(CLASSES), train_ids, Segmenter())
    if classes == zoo.classes(zoo.LABELS):
        return Segmenting("mIoU (Blue Marble)", len(classes), np.asarray, LandCover(), checksum(land_cover.WEIGHTS))
    told = f"the {len(classes)} classes of these label maps" if classes else "classes of which the model says nothing"
    raise SigeError(f"mIoU needs a network that tells {told} apart in pictures: there is none")


def confusion(true: npt.NDArray[Any], seen: npt.NDArray[Any], mask: Mask | None, classes: int) -> list[list[int]]:
    """Pixels by their true class, the class that is seen, and how many there are of the two, where there are any."""
    iou = Iou(classes)
    iou.add(true, seen, mask)
    return [[int(t), int(s), int(iou.confusion[t, s])] for t, s in np.argwhere(iou.confusion)]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ssim(picture: Picture, reference: Picture, mask: Mask) -> dict[str, float | None]:
    if min(mask.shape) < SIDE:
        return {IN: None, WHOLE: None}
    inner = mask[MARGIN:-MARGIN, MARGIN:-MARGIN].any()
    return {IN: float(ssim(picture, reference, mask)) if inner else None, WHOLE: float(ssim(picture, reference))}


def _features(measure: Perceptual, pictures: Sequence[Picture]) -> dict[int, list[mx.array]]:
    """Those of each picture, by its `id`, computed once; none where pictures are too small for the network."""
    if min(pictures[0].shape[:2]) < measure.network.backbone.least:
        return {}
    features = {id(picture): measure.features(picture) for picture in {id(p): p for p in pictures}.values()}
    mx.eval(features)
    return features
