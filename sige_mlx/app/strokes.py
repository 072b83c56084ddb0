"""What pens do, as coverage of pixels: how much of each pixel of a picture a stroke covers, 0 to 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sige_mlx.app import protocol
from sige_mlx.app.protocol import Stroke
from sige_mlx.editing.boxes import Box
from sige_mlx.errors import SigeError
from sige_mlx.pictures import Size

PIECE = 96.0
"""Pixels of a stroke that are covered at a time, so that a long one does not touch all of its surroundings."""

LEAST = 0.25
"""Pixels that a point must be from the one before."""

MOST_TIMES, MOST_AREA = 100, 1 << 30
"""How often a stroke may cover the picture, and pixels more that it may cover of small ones: nobody waits longer."""


class Covered(NamedTuple):
    """A part of a picture, and how much of its pixels is covered, float32 of its size."""

    box: Box
    share: npt.NDArray[np.float32]


def covered(stroke: Stroke, size: Size, last: npt.NDArray[np.float32] | None = None) -> Iterator[Covered]:
    """The parts of a picture (H, W) that a stroke covers; the stroke goes on from the point `last` where there is
    one."""
    if stroke.tool == protocol.BOX:
        yield from _rectangle(stroke.points, size)
    elif stroke.tool == protocol.LASSO:
        yield from _polygon(stroke.points, size)
    else:
        points = stroke.points
        if stroke.tool == protocol.LINE:
            points = points[[0, -1]].copy()
            points[:, 2] = 1
        elif last is not None:
            points = np.vstack([last, points])
        yield from _brushed(points, stroke.radius, stroke.hardness, size)


def _brushed(points: npt.NDArray[np.float32], radius: float, hardness: float, size: Size) -> Iterator[Covered]:
    """A polyline of a width that follows the pressure, with round ends."""
    points = _thinned(points, max(LEAST, radius / 20))
    if len(points) == 1:
        points = np.repeat(points, 2, 0)
    starts, ends = _seen(points[:-1], points[1:], radius + 1, size)
    lengths = np.hypot(*(ends - starts)[:, :2].T)
    if float(((lengths + 2 * radius) * 2 * radius).sum()) > MOST_TIMES * size[0] * size[1] + MOST_AREA:
        raise SigeError("the stroke covers the picture too many times over: draw it in several")
    starts, ends = _cut(starts, ends, lengths, max(PIECE, 2 * radius))
    first = 0
    while first < len(starts):
        # As many segments at a time as lie near each other: one alone is slow, and many far apart are slower.
        stop = first + 1
        low, high = _span(starts[first], ends[first])
        while stop < len(starts) and stop - first < 32:
            wider = (
                np.minimum(low, _span(starts[stop], ends[stop])[0]),
                np.maximum(high, _span(starts[stop], ends[stop])[1]),
            )
            if (wider[1] - wider[0]).max() > max(PIECE, 2 * radius):
                break
            low, high = wider
            stop += 1
        if found := _segments(starts[first:stop], ends[first:stop], radius, hardness, size):
            yield found
        first = stop


def _span(start: npt.NDArray[np.float32], end: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    return np.minimum(start[:2], end[:2]), np.maximum(start[:2], end[:2])


def _thinned(points: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.float32]:
    """The points without those that say nothing new; the first and the last stay."""
    kept = [0]
    steps = points.tolist()
    x, y, pressure = steps[0]
    for i, (to_x, to_y, to_pressure) in enumerate(steps[1:-1], 1):
        if abs(to_x - x) + abs(to_y - y) >= least or abs(to_pressure - pressure) > 0.05:
            kept.append(i)
            x, y, pressure = to_x, to_y, to_pressure
    if len(points) > 1:
        kept.append(len(points) - 1)
    return points[kept]


def _seen(
    starts: npt.NDArray[np.float32], ends: npt.NDArray[np.float32], reach: float, size: Size
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The parts of segments that are within the reach of a picture (Liang and Barsky 1984)."""
    steps = (ends - starts).astype(np.float64)
    first, last = np.zeros(len(starts)), np.ones(len(starts))
    for axis, side in ((0, size[1]), (1, size[0])):
        step, at = steps[:, axis], starts[:, axis].astype(np.float64)
        still = np.abs(step) < 1e-9
        along = np.where(still, 1.0, step)
        near, far = (-reach - at) / along, (side + reach - at) / along
        first = np.where(still, first, np.maximum(first, np.minimum(near, far)))
        last = np.where(still, last, np.minimum(last, np.maximum(near, far)))
        last = np.where(still & ((at < -reach) | (at > side + reach)), -1.0, last)
    kept = first <= last
    starts, steps = starts[kept], steps[kept]
    begun = starts + steps * first[kept, None]
    ended = starts + steps * last[kept, None]
    return begun.astype(np.float32), ended.astype(np.float32)


def _cut(
    starts: npt.NDArray[np.float32], ends: npt.NDArray[np.float32], lengths: npt.NDArray[np.floating], longest: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The same segments in pieces, none longer than so many pixels."""
    counts = np.maximum(np.ceil(lengths / longest), 1).astype(int)
    of = np.repeat(np.arange(len(counts)), counts)
    part = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    steps = ((ends - starts) / counts[:, None])[of].astype(np.float32)
    begun = starts[of] + steps * part[:, None].astype(np.float32)
    return begun, begun + steps


def _segments(
    starts: npt.NDArray[np.float32], ends: npt.NDArray[np.float32], radius: float, hardness: float, size: Size
) -> Covered | None:
    """What segments cover together; nothing where they lie beside the picture."""
    both = np.vstack([starts, ends])
    reach = radius * float(both[:, 2].max()) + 1
    box = _within(both[:, :2].min(0) - reach, both[:, :2].max(0) + reach, size)
    if box is None:
        return None
    x = np.arange(*box.columns, dtype=np.float32) + 0.5
    y = np.arange(*box.rows, dtype=np.float32)[:, None] + 0.5
    share = np.zeros(box.size, np.float32)
    for (ax, ay, ap), (bx, by, bp) in zip(starts.tolist(), ends.tolist(), strict=True):
        dx, dy, square = bx - ax, by - ay, (bx - ax) ** 2 + (by - ay) ** 2
        if square > 1e-12:
            along = ((x - ax) * (dx / square) + (y - ay) * (dy / square)).clip(0, 1)
            off = np.hypot(x - ax - along * dx, y - ay - along * dy)
            width = radius * (ap + along * (bp - ap))
        else:
            off, width = np.hypot(x - ax, y - ay), radius * max(ap, bp)
        # Over one pixel at the edge of a hard brush, over the rest of the radius of a soft one.
        soft = np.maximum((1 - hardness) * width, 1)
        np.maximum(share, ((width - off) / soft + 0.5 / soft).clip(0, 1), out=share)
    return Covered(box, share)


def _rectangle(points: npt.NDArray[np.float32], size: Size) -> Iterator[Covered]:
    corners = points[[0, -1], :2]
    low, high = np.floor(corners.min(0) + 0.5), np.floor(corners.max(0) + 0.5)
    if box := _within(low, np.maximum(high, low + 1), size):
        yield Covered(box, np.ones(box.size, np.float32))


def _polygon(points: npt.NDArray[np.float32], size: Size) -> Iterator[Covered]:
    corners = points[:, :2]
    if box := _within(corners.min(0), corners.max(0), size):
        drawn = Image.new("L", (box.width, box.height))
        if len(corners) > 2:
            at = np.round(corners - (box.left + 0.5, box.top + 0.5)).astype(int)
            ImageDraw.Draw(drawn).polygon([(x, y) for x, y in at.tolist()], fill=1, outline=1)
        yield Covered(box, np.asarray(drawn).astype(np.float32))


def _within(low: npt.NDArray[np.float32], high: npt.NDArray[np.float32], size: Size) -> Box | None:
    """The pixels of a picture between two corners; None where there are none."""
    x, y = (max(int(at), 0) for at in np.floor(low))
    width, height = min(int(np.ceil(high[0])), size[1]) - x, min(int(np.ceil(high[1])), size[0]) - y
    return Box(y, x, height, width) if width > 0 and height > 0 else None
