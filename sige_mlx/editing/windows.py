"""Windows: the part of a picture of any size that a network of one size sees.

A window is a rectangle of the picture's own pixels, as large as the network's pictures or a multiple of that. Where it
reaches beyond the picture, which is smaller then, the picture goes on mirrored. What a window of a larger scale shows
is means of blocks, each of which depends on its own pixels alone: what an edit changes of the picture is changed in the
pixels under its mask and in no others, at every scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.arguments import real, whole
from sige_mlx.editing.boxes import Array, Box
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size

MARGIN = 8
"""Of a network's side, the part that is to be seen around an edit, on every side on which the picture goes on."""

MOST = 1 << 12
"""Pixels of a picture to one of a network's, along a side."""

MUCH = 32
"""Levels of 255 by which a network changes what has no detail then but its own."""

SOFT = 4
"""Pixels from the border of a mask on, inside, over which a result of a larger scale comes in."""


@dataclass(frozen=True)
class Window:
    """The part `box` of a picture, of the size `picture`, as a network sees it, whose pictures have another `size`,
    (H, W) both. The box is no smaller than these, and may reach beyond the picture."""

    box: Box
    picture: Size
    size: Size

    @property
    def trivial(self) -> bool:
        """Whether it shows the picture as it is, whole."""
        return self.box == (0, 0, *self.picture) and self.picture == self.size

    @property
    def scale(self) -> float:
        """So many pixels of the picture are one of the network's, along a side."""
        return self.box.width / self.size[1]

    @property
    def part(self) -> Box:
        """What it shows of the picture."""
        return self.box.overlap(Box(0, 0, *self.picture))

    def __str__(self) -> str:
        at = f"{self.box.width}×{self.box.height} pixels from x = {self.box.left}, y = {self.box.top}"
        return at if self.scale == 1 else f"{at}, at a scale of {self.scale:.3g}"

    def seen(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What it shows of a picture (H, W, C): means of its blocks."""
        shown = self._shown(pixels)
        if self.scale == 1:
            return shown
        rows, columns = self._edges
        sums = self._joined(shown, np.add, np.uint32)
        pixels_each = np.multiply.outer(np.diff(rows), np.diff(columns))[..., None]
        return ((sums + pixels_each // 2) // pixels_each).astype(np.uint8)

    def nearest(self, ids: Array) -> Array:
        """What it shows of a map (H, W), whose values have no means: those in the middle of its blocks."""
        middles = ((edges[:-1] + edges[1:]) // 2 for edges in self._edges)
        rows, columns = (at[middle] for at, middle in zip(self._mirrored, middles, strict=True))
        shown: Array = ids[np.ix_(rows, columns)]  # type: ignore[assignment]
        return shown

    def touched(self, mask: Mask, box: Box | None = None) -> Mask:
        """Where the network's pixels, bool like its size, have any under a mask, which is that of a part of the picture
        where there is a `box`."""
        if box is not None:
            common, whole = box.overlap(self.part), np.zeros(self.part.size, np.bool_)
            common.seen_from(self.part).of(whole)[...] = common.seen_from(box).of(mask)
            shown = self._shown(whole, self.part)
        else:
            shown = self._shown(mask)
        if self.scale == 1:
            return shown
        return self._joined(shown, np.logical_or, np.bool_)

    def spread(self, mask: Mask) -> Mask:
        """The pixels of `part` that a mask of the network's pixels covers."""
        rows, columns = (np.repeat(np.arange(len(edges) - 1), np.diff(edges)) for edges in self._edges)
        return mask[np.ix_(rows, columns)][: self.part.height, : self.part.width]

    def enlarged(self, plane: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """A plane of the network's pixels as one of those of `part`, float32: between their middles it is linear."""
        image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
        if self.scale != 1:
            image = image.resize((self.box.width, self.box.height), Image.Resampling.BILINEAR)
        return np.array(image)[: self.part.height, : self.part.width]

    def carried(
        self,
        made: npt.NDArray[np.uint8],
        seen: npt.NDArray[np.uint8] | None = None,
        picture: npt.NDArray[np.uint8] | None = None,
        around: npt.NDArray[np.uint8] | None = None,
        region: Mask | None = None,
    ) -> npt.NDArray[np.uint8]:
        """What a network `made` (H, W, C), like its size, in the pixels of `part`. At scale 1 that is it. Else only
        what it changed of what it has `seen` of an edited `picture` is carried over to that, so that detail stays which
        it has not seen; or all, where it saw nothing of it. Of an edit of a `region` detail fades where much was
        changed, which it does not fit then, such as the outline of a stroke; and from the border of the region on the
        result comes in over a few pixels, from what is `around` it."""
        if self.scale == 1:
            return made[: self.part.height, : self.part.width]
        carried = np.empty((*self.part.size, made.shape[-1]), np.uint8)
        share = None if region is None else _softened(region)
        kept = None if region is None or seen is None else self.enlarged(_kept(made, seen))
        for channel in range(made.shape[-1]):  # one at a time, for a picture may be large
            plane = self.enlarged(made[..., channel])
            if seen is not None and picture is not None:
                detail = picture[..., channel] - self.enlarged(seen[..., channel])
                plane += detail if kept is None else detail * kept
            if share is not None and around is not None:
                plane -= around[..., channel]
                plane *= share
                plane += around[..., channel]
            carried[..., channel] = np.clip(np.rint(plane, out=plane), 0, 255, out=plane)
        return carried

    def _joined(self, shown: npt.NDArray[Any], join: np.ufunc, dtype: Any) -> npt.NDArray[Any]:
        """What is shown, each block of it joined to one value."""
        (h, w), (height, width) = self.size, self.box.size
        if height % h == width % w == 0:  # many times as fast as what does for blocks of several sizes
            joined = join.reduce(shown.reshape(h, height // h, -1), 1, dtype)
            return np.asarray(join.reduce(joined.reshape(h, w, width // w, *shown.shape[2:]), 2, dtype))
        rows, columns = self._edges
        return np.asarray(join.reduceat(join.reduceat(shown, rows[:-1], 0, dtype), columns[:-1], 1, dtype))

    def _shown(self, plane: Array, of: Box | None = None) -> Array:
        """What it covers of a picture (H, W, …), or of its part `of`, mirrored beyond the borders."""
        top, left = (of.top, of.left) if of else (0, 0)
        if self.box == self.part:
            shown: Array = self.box.seen_from(Box(top, left, 0, 0)).of(plane)
            return shown
        rows, columns = self._mirrored
        mirrored: Array = plane[np.ix_(rows - top, columns - left)]  # type: ignore[assignment]
        return mirrored

    @cached_property
    def _mirrored(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows and columns of the picture that it covers, in order."""
        spans, sides = (self.box.rows, self.box.columns), self.picture
        rows, columns = (_reflected(np.arange(*span), side) for span, side in zip(spans, sides, strict=True))
        return rows, columns

    @cached_property
    def _edges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the blocks of the network's pixels begin, and where the last of them ends."""
        rows, columns = (np.arange(n + 1) * side // n for n, side in zip(self.size, self.box.size, strict=True))
        return rows, columns


def over(picture: Size, size: Size, *, exact: bool = False) -> Window:
    """The window that shows a picture whole to a network of pictures of `size`: one of the picture's own size, else as
    little larger as its proportions and a whole scale, or one that is `exact`, ask for."""
    (h, w), (height, width) = size, picture
    if not exact:
        scale = max(-(-height // h), -(-width // w))
        return Window(Box(0, 0, h * scale, w * scale), picture, size)
    if height <= h and width <= w:
        return Window(Box(0, 0, h, w), picture, size)
    box = (height, -(-height * w // h)) if height * w >= width * h else (-(-width * h // w), width)
    return Window(Box(0, 0, *box), picture, size)


def around(edit: Box, picture: Size, size: Size, margin: int = 0, scale: float | None = None) -> Window:
    """The window that fits an edit best, whose extent is given: of the smallest scale (1, 2, 3, 4, 6, 8, 12, …) at
    which all of it is seen, with an eighth of the network's side around it, and no less than a `margin` of its pixels;
    or of the `scale` that is asked for, as far as there is so much to see. Its place is on the coarsest raster (half of
    its side, a quarter …) that shows that, so that edits near each other have the same window. Nothing else decides.
    Raises `SigeError` for a scale that is too small."""
    largest = over(picture, size)
    if scale is not None:
        scale = real(scale, "the scale", 1, MOST)
        if scale >= largest.scale:
            return largest
        found = _placed(edit, picture, size, margin, scale, least=0)
        if found is None:
            raise SigeError(f"an edit of {edit.width}×{edit.height} pixels is larger than a window of scale {scale:g}")
        return found
    for step in scales():
        if step >= largest.scale:
            return largest
        if found := _placed(edit, picture, size, margin, step):
            return found
    raise AssertionError("scales grow without end")


def given(window: tuple[int, int, int], picture: Size, size: Size) -> Window:
    """The window that a user asks for: from a column and a row of the picture on, so many pixels wide. Raises
    `SigeError` for one that is not within the picture, or smaller than what the network reads."""
    try:
        left, top, width = window
    except (TypeError, ValueError):
        raise SigeError(f"the window is {window!r}: it must be X, Y and SIZE, three whole numbers") from None
    (height, across), (h, w) = picture, size
    left, top = whole(left, "X of the window", 0, across - 1), whole(top, "Y of the window", 0, height - 1)
    width = whole(width, "SIZE of the window", w, MOST * w)
    return placed(Box(top, left, -(-width * h // w), width), picture, size)


def placed(box: Box, picture: Size, size: Size) -> Window:
    """The window that shows a box of a picture. Raises `SigeError` where it would be smaller than what the network
    reads, reach beyond a side of the picture that is not smaller than it, or be larger than what shows all."""
    largest = over(picture, size).box
    ends = zip((box.rows, box.columns), picture, size, strict=True)
    fits = (0 <= start < side and n <= stop - start and (stop <= side or not start) for (start, stop), side, n in ends)
    if not all(fits) or box.height > largest.height or box.width > largest.width:
        (height, width), (h, w) = picture, size
        raise SigeError(
            f"a window of {box.width}×{box.height} pixels from x = {box.left}, y = {box.top} does not fit: it must be"
            f" {w}×{h} pixels or larger, and within the picture, which is {width}×{height}"
        )
    return Window(box, picture, size)


def scales() -> Iterator[int]:
    """Those that a picture is seen at: 1, 2, 3, 4, 6, 8, 12, …"""
    yield 1
    for power in count(1):
        yield 2**power
        yield 3 * 2 ** (power - 1)


def _placed(edit: Box, picture: Size, size: Size, margin: int, scale: float, least: int | None = None) -> Window | None:
    """The window of a scale that shows an edit and what is to be seen around it; None where it is too small for that.
    With a `least` margin it may show less around it, if it shows the edit."""
    sides = [max(round(side * scale), side) for side in size]
    wanted = max(min(size) // MARGIN, margin)
    places = []
    for span, whole_side, side in zip((edit.rows, edit.columns), picture, sides, strict=True):
        for around_it in (wanted, least):
            if around_it is None:
                return None
            grown = round(around_it * scale)
            first, last = max(span[0] - grown, 0), min(span[1] + grown, whole_side)
            if last - first <= side:
                places.append(_place(first, last, side, whole_side))
                break
        else:
            return None
    return Window(Box(*places, *sides), picture, size)


def _place(first: int, last: int, side: int, whole_side: int) -> int:
    """Where a window of a side begins that shows a span of a picture's side."""
    end = max(whole_side - side, 0)
    earliest, latest = max(last - side, 0), min(first, end)
    middle = min(max((first + last - side) // 2, earliest), latest)
    for raster in (side >> halvings for halvings in count(1)):
        step = max(raster, 1)
        found = [at for at in (middle // step * step, -(-middle // step) * step, end) if earliest <= at <= latest]
        if found:
            return min(found, key=lambda at: (abs(at - middle), at))
    raise AssertionError("on a raster of single pixels there is a place")


def _reflected(at: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """Positions on a side of a picture that goes on mirrored."""
    at = at % (2 * side)
    return np.minimum(at, 2 * side - 1 - at)


def _kept(made: npt.NDArray[np.uint8], seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much of a picture's detail stays, 0 to 1, for each pixel of the network: all where it and its neighbours are
    as they were seen."""
    changed = np.abs(made.astype(np.int16) - seen).max(-1)
    around = np.pad(changed, 1)
    height, width = changed.shape
    most = np.max([around[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return np.clip(1 - most / np.float32(MUCH), 0, 1)


def _softened(region: Mask) -> npt.NDArray[np.float32]:
    """A mask whose values rise from its border on."""
    weight, inner = region.astype(np.uint8), region
    for _ in range(SOFT):
        inner = _eroded(inner)
        weight += inner
    return weight / np.float32(SOFT + 1)


def _eroded(mask: Mask) -> Mask:
    """A mask without the pixels at its border; that of the picture is none."""
    grown = np.pad(mask, 1, constant_values=True)
    inner: Mask = grown[1:-1, 1:-1] & grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:]
    return inner
