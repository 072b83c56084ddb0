"""What a commit does to a record on the GPU: pixels of planes, and rows of other arrays, take the place of recorded
ones."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced, Tiles, renewed
from sige_mlx.engine.statistics import Doubles
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import Size, Tiling

Arrays = Mapping[Any, mx.array]

STATISTICS = ("scale", "shift", "moments", "gain", "small")
"""What is recorded of norms."""

Indices = npt.NDArray[np.int32]


class Pixels(NamedTuple):
    """The pixels of the active tiles of a plane that lie inside the image: their places among all of the plane's, and
    among those of the blocks; image i has those from `first[i]` to `first[i + 1]`."""

    plane: mx.array
    blocks: mx.array
    first: list[int]


def pixels(tiling: Tiling, size: Size) -> Pixels:
    """Finds the pixels of a plane's active tiles."""
    tiles = tiling.at(size)
    (h, w), side = size, tiles.tile
    image, row, column = (tiles.rows[:, i][:, None, None] for i in range(3))
    y = row * side + np.arange(side)[:, None]
    x = column * side + np.arange(side)
    image, y, x = np.broadcast_arrays(image, y, x)
    inside = np.flatnonzero((y < h) & (x < w))
    places = ((image * h + y) * w + x).reshape(-1)[inside]
    images = image.reshape(-1)[inside]
    first = np.searchsorted(images, np.arange(len(tiling.mask) + 1)).tolist()
    return Pixels(mx.array(places.astype(np.int32)), mx.array(inside.astype(np.int32)), first)


def rows(tiling: Tiling, size: Size) -> Pixels:
    """Finds the rows that the active tiles of a plane have in an array with one for each tile."""
    tiles = tiling.at(size)
    _, down, across = tiles.grid.shape
    image, row, column = tiles.rows.T
    first = np.searchsorted(image, np.arange(len(tiling.mask) + 1)).tolist()
    places = ((image * down + row) * across + column).astype(np.int32)
    return Pixels(mx.array(places), mx.arange(len(places), dtype=mx.int32), first)


class Commits:
    """How commits of one edit change the records of a network."""

    def __init__(self, lowered: Lowered, tiling: Tiling):
        self._lowered = lowered
        self._places: dict[Any, Pixels | None] = {}
        found: dict[tuple[bool, Size], Pixels] = {}
        sums = (key for key in lowered.recorded if key[0] == "sums")
        for key in (*lowered.stored, *sums):
            size = lowered.graph.nodes[key[1]].shape[1:3]
            if lowered.regions.of[key[1]] is not Region.TILES:
                self._places[key] = None
                continue
            which = key[0] == "sums", size
            if which not in found:
                found[which] = (rows if which[0] else pixels)(tiling, size)
            self._places[key] = found[which]

    def apply(self, record: dict[Any, mx.array], stored: Arrays, output: mx.array, given: Arrays) -> Replaced:
        """Puts what the program of commits has stored into a record, and the statistics that were given; returns what
        was there."""
        tiles: dict[Any, Tiles] = {}
        arrays: dict[Any, mx.array] = {}
        changes: dict[Any, mx.array] = {}
        for key, new in stored.items():
            places = self._places[key]
            if places is None:
                arrays[key] = new
            else:
                flat = new.reshape(-1, *new.shape[3:]) if key[0] != "sums" else new
                tiles[key] = Tiles(places.plane, flat[places.blocks])
            if key in self._lowered.changing:
                changes[key] = self._change(key, record[key], new, tiles.get(key), places)
        if ("value", self._lowered.graph.output) not in stored:
            arrays["value", self._lowered.graph.output] = output
        before = exchange(record, Replaced(arrays, tiles))
        mx.eval([*changes.values(), *_arrays(before), *record.values()])
        statistics = self._statistics(record, {key: np.asarray(of, np.float64) for key, of in changes.items()})
        also = exchange(record, Replaced({**statistics, **given}, {}))
        return Replaced({**before.arrays, **also.arrays}, before.tiles)

    def _change(
        self, key: Any, recorded: mx.array, new: mx.array, tiles: Tiles | None, places: Pixels | None
    ) -> mx.array:
        """How the sums of a recorded array change, float32 (B, 2, C): what they are made of is added up as it is, so
        that the difference of two large numbers is none of two sums."""
        n, c = self._lowered.batch, recorded.shape[-1]
        if tiles is None or places is None:
            return (new - recorded).reshape(n, -1, 2, c).sum(1)
        old = recorded.reshape(-1, *tiles.data.shape[1:])[places.plane].astype(mx.float32)
        now = tiles.data.astype(mx.float32)
        of_image = []
        for first, last in zip(places.first[:-1], places.first[1:], strict=True):
            difference = now[first:last] - old[first:last]
            if key[0] == "sums":
                of_image.append(difference.sum(0))
            else:
                of_image.append(mx.stack([difference.sum(0), (difference * (now + old)[first:last]).sum(0)]))
        return mx.stack(of_image)

    def _statistics(self, record: Arrays, changes: Mapping[Any, Doubles]) -> dict[Any, mx.array]:
        """The renewed statistics of norms; scale and shift of one are one array."""
        norms = {(what, norm.value) for norm in self._lowered.renewed for what in ("moments", "gain")}
        recorded = {key: np.asarray(record[key], np.float64) for key in norms}
        return statistics_on_gpu(renewed(self._lowered, recorded, changes))


def statistics_on_gpu(arrays: Mapping[Any, npt.NDArray[np.floating[Any]]]) -> dict[Any, mx.array]:
    """Statistics of norms as records hold them here: in float32, scale and shift of a norm as one array."""
    found = {}
    for (what, norm), array in arrays.items():
        if what == "scale":
            found[what, norm] = mx.array(np.stack([array, arrays["shift", norm]]))
        elif what != "shift":
            found[what, norm] = mx.array(array.astype(np.float32))
    return found


def exchange(record: dict[Any, mx.array], replaced: Replaced) -> Replaced:
    """Puts parts into a record, and returns what was there. MLX writes into a plane where it is, as nobody else has
    it."""
    arrays = {key: record[key] for key in replaced.arrays}
    record.update(replaced.arrays)
    tiles = {}
    for key, (places, data) in replaced.tiles.items():
        array = record.pop(key)
        shape = array.shape
        flat = array.reshape(-1, *data.shape[1:])
        old = flat[places]
        mx.eval(old)
        tiles[key] = Tiles(places, old)
        del array
        flat[places] = data.astype(flat.dtype)
        record[key] = flat.reshape(shape)
    mx.eval([*record.values()])
    return Replaced(arrays, tiles)


def _arrays(replaced: Replaced) -> list[mx.array]:
    return [*replaced.arrays.values(), *(tiles.data for tiles in replaced.tiles.values())]
