"""Commits: the record of a step becomes that of the edited inputs. What that replaces is kept as a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sige_mlx.engine import statistics
from sige_mlx.engine.statistics import Doubles, Floats
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import Size, Tiling

Numbers = npt.NDArray[np.intp]


class Tiles(NamedTuple):
    """Some tiles of a recorded array: those of these numbers, which count in the order image, row, column."""

    numbers: Any
    data: Any


@dataclass(frozen=True)
class Replaced:
    """Parts of a record that others took the place of: whole `arrays`, and `tiles`, by the keys of the arrays."""

    arrays: Mapping[Any, Any]
    tiles: Mapping[Any, Tiles]

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        numbers = {id(tiles.numbers): tiles.numbers.nbytes for tiles in self.tiles.values()}
        data = (*self.arrays.values(), *(tiles.data for tiles in self.tiles.values()))
        return sum(a.nbytes for a in data) + sum(numbers.values())


@dataclass(frozen=True)
class Change:
    """What a commit replaced in the record of a step. `Engine.swap` puts it back and returns the change that does the
    opposite. A change fits the record as it was right after it: later ones have to be swapped first."""

    replaced: Any
    """A `Replaced`, or where the step was recorded anew the record that it had."""
    before: object = field(repr=False)
    after: object = field(repr=False)
    """States of the record: swapping leads from `after` back to `before`."""

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        nbytes: int = self.replaced.nbytes
        return nbytes


@dataclass(frozen=True)
class Touched:
    """What a commit of the tiles of an edit replaces, by key: tiles of these numbers, and whole arrays."""

    tiles: Mapping[Any, Numbers]
    arrays: tuple[Any, ...]


def touched(lowered: Lowered, tiling: Tiling) -> Touched:
    """Returns what a commit replaces in a record."""
    numbers: dict[Size, Numbers] = {}
    tiles, arrays = {}, []
    for key in (*lowered.stored, *(key for key in lowered.recorded if key[0] == "sums")):
        size = lowered.graph.nodes[key[1]].shape[1:3]
        if lowered.regions.of[key[1]] is not Region.TILES:
            arrays.append(key)
            continue
        if size not in numbers:
            numbers[size] = _numbers(tiling, size)
        tiles[key] = numbers[size]
    output = "value", lowered.graph.output
    arrays += [] if output in tiles else [output]
    arrays += [(what, norm.value) for norm in lowered.renewed for what in ("moments", "scale", "shift")]
    arrays += lowered.measured
    return Touched(tiles, tuple(arrays))


def renewed(
    lowered: Lowered, recorded: Mapping[Any, Any], changes: Mapping[Any, Doubles]
) -> dict[Any, Doubles | Floats]:
    """Returns the statistics of norms after the sums of the values that they normalise have changed, by what `changes`
    tells of recorded arrays: moments, scale and shift by the keys that they are recorded by."""
    arrays: dict[Any, Doubles | Floats] = {}
    of_value = {value: change for (_, value), change in changes.items()}
    for norm in lowered.renewed:
        _, h, w, _ = lowered.graph.nodes[norm.parts[0]].shape
        change = np.concatenate([of_value[value] for value in norm.parts], axis=2)
        moments = statistics.moved(recorded["moments", norm.value], change, h * w)
        scale, shift = statistics.affine(moments, recorded["gain", norm.value], norm.eps)
        arrays |= {("moments", norm.value): moments, ("scale", norm.value): scale, ("shift", norm.value): shift}
    return arrays


def _numbers(tiling: Tiling, size: Size) -> Numbers:
    """Returns the numbers of the active tiles of a plane among all that it has."""
    tiles = tiling.at(size)
    _, down, across = tiles.grid.shape
    image, row, column = tiles.rows.astype(np.intp).T
    numbers: Numbers = (image * down + row) * across + column
    return numbers
