"""A stroke while it is drawn: what of the canvas it covers so far, and what was under it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sige_mlx.app import protocol
from sige_mlx.app.history import Packed, Patch
from sige_mlx.app.protocol import Stroke
from sige_mlx.app.strokes import Covered, covered
from sige_mlx.app.subjects import Canvas
from sige_mlx.editing.boxes import Box
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size

BLOCK = 64
"""Side of the squares, in pixels, that are kept of what is under a stroke."""


class Painting:
    """A stroke on a canvas, which may come in parts. Where it crosses itself it covers no more than once. `original` is
    what an eraser brings back."""

    def __init__(self, canvas: Canvas, original: Canvas):
        self._canvas, self._original = canvas, original
        self.size: Size = (canvas.shape[0], canvas.shape[1])
        # The system gives pages of these as they are touched, so a stroke takes what it covers, not the picture.
        self._share = np.zeros(self.size, np.float32)
        self._before = np.empty_like(canvas)
        self._kept = np.zeros(tuple(-(-side // BLOCK) for side in self.size), np.bool_)
        self._last: npt.NDArray[np.float32] | None = None

    def add(self, stroke: Stroke) -> list[Box]:
        """Paints a part of the stroke; returns where the canvas changed."""
        changed = [self._paint(stroke, part) for part in covered(stroke, self.size, self._last)]
        self._last = stroke.points[-1]
        return changed

    def patches(self) -> list[Patch]:
        """What was under the stroke."""
        boxes = merged(self._kept, self.size)
        for box in boxes:  # which has blocks, too, that the stroke did not come to
            self._keep(box)
        return [Patch("canvas", box, Packed(box.of(self._before).copy())) for box in boxes]

    def _paint(self, stroke: Stroke, part: Covered) -> Box:
        box = part.box
        self._keep(box)
        share = np.maximum(box.of(self._share), part.share, out=box.of(self._share))
        before, canvas = box.of(self._before), box.of(self._canvas)
        if canvas.ndim == 2:
            target = box.of(self._original) if stroke.tool == protocol.ERASER else np.uint8(stroke.value[0])
            canvas[...] = np.where(share >= 0.5, target, before)
            return box
        target = box.of(self._original) if stroke.tool == protocol.ERASER else np.array(stroke.value, np.uint8)
        mixed = before + (target.astype(np.float32) - before) * share[..., None]
        canvas[...] = np.rint(mixed, out=mixed)
        return box

    def _keep(self, box: Box) -> None:
        rows, columns = blocks_of(box)
        for y, x in np.argwhere(~self._kept[rows, columns]).tolist():
            block = Box((rows.start + y) * BLOCK, (columns.start + x) * BLOCK, BLOCK, BLOCK)
            block.of(self._before)[...] = block.of(self._canvas)
        self._kept[rows, columns] = True


class Painted:
    """How many pixels of a canvas differ from its original, by blocks."""

    def __init__(self, size: Size):
        self._size = size
        self._counts = np.zeros(tuple(-(-side // BLOCK) for side in size), np.int64)

    def count(self, boxes: Iterable[Box], canvas: Canvas, original: Canvas) -> None:
        """Counts anew what rectangles touch, which may have changed."""
        todo = np.zeros_like(self._counts, np.bool_)
        for box in boxes:
            todo[blocks_of(box)] = True
        for y, x in np.argwhere(todo).tolist():
            block = Box(y * BLOCK, x * BLOCK, BLOCK, BLOCK)
            differs = block.of(canvas) != block.of(original)
            self._counts[y, x] = np.count_nonzero(differs.any(-1) if differs.ndim == 3 else differs)

    @property
    def share(self) -> float:
        """Of all pixels, 0 to 1."""
        return float(self._counts.sum()) / (self._size[0] * self._size[1])

    @property
    def boxes(self) -> list[Box]:
        """Where they are, to the block."""
        return merged(self._counts > 0, self._size)

    @property
    def extent(self) -> Box | None:
        """The rectangle around all, to the block; None for none."""
        at = np.argwhere(self._counts)
        if not len(at):
            return None
        (top, left), (bottom, right) = at.min(0).tolist(), (at.max(0) + 1).tolist()
        return box_of(top, left, bottom, right, self._size)


def blocks_of(box: Box) -> tuple[slice, slice]:
    """Rows and columns of the blocks that a rectangle touches."""
    rows, columns = (slice(first // BLOCK, -(-last // BLOCK)) for first, last in (box.rows, box.columns))
    return rows, columns


def merged(blocks: Mask, size: Size, block: int = BLOCK) -> list[Box]:
    """The rectangles of a picture (H, W) that blocks cover: the one around all where it is not much larger, else one
    for each row of neighbours."""
    at = np.argwhere(blocks)
    if not len(at):
        return []
    (top, left), (bottom, right) = at.min(0).tolist(), (at.max(0) + 1).tolist()
    if (bottom - top) * (right - left) <= max(2 * len(at), 4):
        return [box_of(top, left, bottom, right, size, block)]
    found: list[tuple[int, int, int, int]] = []
    for y in range(top, bottom):
        step = np.diff(np.pad(blocks[y].astype(np.int8), 1))
        for start, stop in zip(np.flatnonzero(step == 1).tolist(), np.flatnonzero(step == -1).tolist(), strict=True):
            found.append((y, start, y + 1, stop))
    return [box_of(*of, size, block) for of in found]


def box_of(top: int, left: int, bottom: int, right: int, size: Size, block: int = BLOCK) -> Box:
    """The pixels of a picture (H, W) in blocks: those of rows and columns from two on, up to two others."""
    top, left = top * block, left * block
    return Box(top, left, min(bottom * block, size[0]) - top, min(right * block, size[1]) - left)
