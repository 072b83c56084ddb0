"""Parts of pictures."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size

Array = TypeVar("Array", bound=npt.NDArray[Any])

Span = tuple[int, int]
"""From a row or a column on, up to another that is not in it."""


class Box(NamedTuple):
    """A part of a picture in pixels: from a row and a column on, so high and so wide."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: Array) -> Array:
        """The part of a picture (H, W, …), a view."""
        part: Array = picture[self.top : self.top + self.height, self.left : self.left + self.width]  # type: ignore[assignment]
        return part

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width

    @property
    def rows(self) -> Span:
        """From the first to behind the last."""
        return self.top, self.top + self.height

    @property
    def columns(self) -> Span:
        """From the first to behind the last."""
        return self.left, self.left + self.width

    def within(self, size: Size) -> bool:
        """Whether it is a part of a picture of this size, and not empty."""
        (_, bottom), (_, right) = self.rows, self.columns
        return min(self.top, self.left) >= 0 < min(self.size) and bottom <= size[0] and right <= size[1]

    def overlap(self, other: Box) -> Box:
        """What both have in common; of no height or width where that is nothing."""
        (top, bottom), (left, right) = (
            (max(a[0], b[0]), min(a[1], b[1])) for a, b in ((self.rows, other.rows), (self.columns, other.columns))
        )
        return Box(top, left, max(bottom - top, 0), max(right - left, 0))

    def seen_from(self, other: Box) -> Box:
        """The same part, of a picture that is the other's part."""
        return self._replace(top=self.top - other.top, left=self.left - other.left)


def extent(mask: Mask) -> Box | None:
    """The smallest part of a picture that holds a mask, bool (H, W); None for an empty one."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = (int(at) for at in (rows[0], rows[-1], columns[0], columns[-1]))
    return Box(top, left, bottom - top + 1, right - left + 1)


def union(boxes: list[Box]) -> Box:
    """The smallest rectangle that holds all."""
    top, left = min(box.top for box in boxes), min(box.left for box in boxes)
    bottom, right = max(box.rows[1] for box in boxes), max(box.columns[1] for box in boxes)
    return Box(top, left, bottom - top, right - left)
