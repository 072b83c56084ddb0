"""Intersection over union of the classes of label maps, and what a network sees in pictures of streets."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.metrics import weights
from sige_mlx.metrics.drn import REDUCTION
from sige_mlx.metrics.given import Masks, Pictures, batch, mask_of

IGNORED = 255
"""The label of pixels that do not count."""

CLASSES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""The classes that Cityscapes is evaluated by, in the order of their train ids."""

_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of these classes in label maps

_MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)  # of Cityscapes' pictures, by channel
_DEVIATION = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)


def train_ids(ids: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Train ids from 0 to 18 of Cityscapes' label ids, 255 for those that are not evaluated (Cordts et al. 2016)."""
    labels = np.asarray(ids)
    if labels.dtype.kind not in "iu":
        raise SigeError(f"label ids are of type {labels.dtype}: integers would be right")
    table = np.full(256, IGNORED, np.uint8)
    table[list(_IDS)] = range(len(_IDS))
    found: npt.NDArray[np.uint8] = np.where((labels >= 0) & (labels < 256), table[labels.clip(0, 255)], IGNORED)
    return found


class Iou:
    """Intersection over union of each class, over all pixels of all pictures so far: `confusion` (classes, classes)
    counts them by their true label and by the one found. Those of several machines are added."""

    def __init__(self, classes: int = len(CLASSES)):
        self.confusion = np.zeros((classes, classes), np.int64)

    def add(self, labels: npt.ArrayLike, found: npt.ArrayLike, mask: Masks | None = None) -> None:
        """Count pixels (H, W) or (B, H, W) of true `labels`, 255 for those that do not count, by what was `found`
        there; with a bool `mask` of their shape or (H, W), those that are in it. Raises `SigeError` for shapes or
        labels that do not fit."""
        true, seen = _labels(labels, "the true labels"), _labels(found, "the labels found")
        if true.shape != seen.shape:
            raise SigeError(f"labels are compared pixel by pixel, not {true.shape} with {seen.shape}")
        counted = true != IGNORED
        masks = mask_of(mask, (len(true), *true.shape[1:]), "IoU")
        if masks is not None:
            counted &= masks
        true, seen = true[counted].astype(np.int64), seen[counted].astype(np.int64)
        classes = len(self.confusion)
        for values, name in ((true, "a true label"), (seen, "a label found")):
            if ((values < 0) | (values >= classes)).any():
                wrong = values[(values < 0) | (values >= classes)][0]
                raise SigeError(f"{name} is {wrong}: 0 to {classes - 1} would be right, or {IGNORED} for none")
        self.confusion += np.bincount(classes * true + seen, minlength=classes**2).reshape(classes, classes)

    def __add__(self, other: Iou) -> Iou:
        if self.confusion.shape != other.confusion.shape:
            raise SigeError(f"IoU of {len(self.confusion)} classes cannot be added to that of {len(other.confusion)}")
        added = Iou(len(self.confusion))
        added.confusion = self.confusion + other.confusion
        return added

    @property
    def of_classes(self) -> npt.NDArray[np.float64]:
        """From 0 to 1 for each class; NaN for those that neither are there nor were found."""
        both = np.diag(self.confusion)
        either = self.confusion.sum(0) + self.confusion.sum(1) - both
        return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)

    @property
    def mean(self) -> float:
        """Over the classes that have one; NaN where none has. Times 100 it is what is published as mIoU."""
        found = self.of_classes[~np.isnan(self.of_classes)]
        return float(found.mean()) if found.size else float("nan")


class Segmenter:
    """What DRN-D-105 sees in pictures of streets: Cityscapes' 19 classes by their train ids, at the pictures' own size.
    mIoU of generated pictures is the `Iou` of this with the label maps that they were generated from.

        iou.add(train_ids(labels), segmenter(pictures))

    The weights are a published file, converted once with `sige-mlx convert`. Raises `SigeError`, which names it and
    where it is published, where it is not on this machine.
    """

    def __init__(self) -> None:
        self.network, _ = weights.load("drn-d-105-cityscapes")

    def __call__(self, pictures: Pictures) -> npt.NDArray[np.uint8]:
        """Train ids (H, W) or (B, H, W) of pictures (H, W, 3) or (B, H, W, 3): RGB, uint8 or floats from 0 to 1, whose
        sides are multiples of 8. Raises `SigeError` for others."""
        given = batch(pictures, channels=3)
        if any(side % REDUCTION for side in given.planes[1:]):
            raise SigeError(
                f"DRN-D-105 takes pictures with sides that are multiples of {REDUCTION}, and this one is"
                f" {given.planes[2]}×{given.planes[1]} (width × height)"
            )
        pixels = (given.pixels - mx.array(_MEAN)) / mx.array(_DEVIATION)
        found = np.empty(given.planes, np.uint8)
        for i in range(len(found)):
            found[i] = np.asarray(mx.argmax(self.network(pixels[i : i + 1]), -1))[0]
        return found[0] if given.single else found


def _labels(given: Any, name: str) -> npt.NDArray[np.integer[Any]]:
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu" or labels.ndim not in (2, 3):
        raise SigeError(f"{name} are {labels.dtype} {labels.shape}: integers (H, W) or (B, H, W) would be right")
    return labels[None] if labels.ndim == 2 else labels
