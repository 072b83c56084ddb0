"""Sums of the values that norms are of, by cells of a plane: what the statistics of a plane become, once a window of it
is another, follows from the sums of the window's cells, before and after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sige_mlx.engine import statistics
from sige_mlx.engine.statistics import Doubles, Floats

Int32s = npt.NDArray[np.int32]


class Window(NamedTuple):
    """Rows and columns of planes that are computed, and of these the interior, which sees enough of what is around
    it."""

    rows: slice
    columns: slice
    inner_rows: slice
    inner_columns: slice

    @property
    def without_interior(self) -> Window:
        """The same, of which nothing is interior."""
        rows, columns = (slice(span.start, span.start) for span in (self.rows, self.columns))
        return self._replace(inner_rows=rows, inner_columns=columns)

    def inside(self, by: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where the interior lies in planes of which a pixel is `by` of these along a side, and where in the window's
        own."""
        at, own = [], []
        for span, inner in ((self.rows, self.inner_rows), (self.columns, self.inner_columns)):
            start, stop, first = (-(-i // by) for i in (inner.start, inner.stop, span.start))
            at.append(slice(start, stop))
            own.append(slice(start - first, stop - first))
        return (at[0], at[1]), (own[0], own[1])


class Cells(NamedTuple):
    """How a plane is cut into cells of `across` tiles along a side, `tile` pixels each; a norm has so many `groups`."""

    tile: int
    across: int
    groups: int

    def of_tiles(self, sums: npt.NDArray[np.floating], plane: tuple[int, ...]) -> Floats:
        """Sums by cell and group, (B, rows, columns, 2, G), from those by tile, (B · tiles, 2, C), of a plane
        (B, h, w, C)."""
        n, h, w, c = plane
        down, right = (-(-side // self.tile) for side in (h, w))
        by_group = sums.reshape(n, down, right, 2, self.groups, c // self.groups).sum(-1, dtype=np.float64)
        pad = [(0, 0), (0, -down % self.across), (0, -right % self.across), (0, 0), (0, 0)]
        padded = np.pad(by_group, pad)
        rows, columns = padded.shape[1] // self.across, padded.shape[2] // self.across
        cells = padded.reshape(n, rows, self.across, columns, self.across, 2, self.groups).sum((2, 4))
        return cells.astype(np.float32)

    def before(self, cells: Floats, at: tuple[slice, slice], plane: tuple[int, ...]) -> tuple[Floats, Int32s]:
        """What a norm of a window's plane (B, h, w, C) follows: the sums by tile, (B · tiles, 2, C), that the window's
        cells `at` these rows and columns had, and the numbers of their tiles, (B, rows, columns), -1 elsewhere. One
        tile of a cell has all of its sums, and a group's are shared out among its channels."""
        n, h, w, c = plane
        down, right = (-(-side // self.tile) for side in (h, w))
        sums = np.zeros((n, down, right, 2, c), np.float32)
        tiles = tuple(slice(s.start * self.across, s.stop * self.across) for s in at)
        first = tuple(slice(s.start, s.stop, self.across) for s in tiles)
        sums[:, first[0], first[1]] = np.repeat(cells * np.float32(self.groups / c), c // self.groups, axis=-1)
        numbers = np.full((n, down, right), -1, np.int32)
        every = np.arange(numbers.size, dtype=np.int32).reshape(numbers.shape)
        numbers[:, tiles[0], tiles[1]] = every[:, tiles[0], tiles[1]]
        return sums.reshape(-1, 2, c), numbers


def replaced(
    moments: Doubles, cells: Floats, new: Floats, at: tuple[slice, slice], pixels: int
) -> tuple[Doubles, Floats]:
    """The moments (B, 2, G) of a plane and its cells, once those `at` these rows and columns are `new`. A group has so
    many `pixels`, of all its channels."""
    difference = (new.astype(np.float64) - cells[:, at[0], at[1]]).sum((1, 2))
    changed = cells.copy()
    changed[:, at[0], at[1]] = new
    return statistics.moved(moments, difference, pixels), changed
