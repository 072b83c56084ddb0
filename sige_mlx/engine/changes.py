"""Commits: the record of a step becomes that of the edited inputs. What that replaces is kept as a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine import statistics
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import Tiling

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Replaced:
    """What took the place of parts of a record, or was replaced there: whole `arrays`, and `tiles` of a tiling, by the
    keys of the recorded arrays that they belong into."""

    arrays: Mapping[Any, Any]
    tiles: Mapping[Any, Any]
    tiling: Tiling | None

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return sum(a.nbytes for a in (*self.arrays.values(), *self.tiles.values()))


@dataclass(frozen=True)
class Change:
    """What a commit replaced in the record of a step. `Engine.swap` puts it back and returns the change that does the
    opposite. A change fits the record as it was right after it: later ones have to be swapped first."""

    replaced: Replaced
    before: object = field(repr=False)
    after: object = field(repr=False)
    """States of the record: swapping leads from `after` back to `before`."""

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return self.replaced.nbytes


def commit(
    lowered: Lowered,
    tiling: Tiling,
    record: Mapping[Any, Array],
    committed: Mapping[Any, Array],
    output: Array,
) -> Replaced:
    """Carries a record over to edited inputs, from what `Lowered.commit` gives for them; returns what was replaced."""
    arrays: dict[Any, Array] = {}
    tiles: dict[Any, Array] = {}
    for key, array in committed.items():
        if key in record:
            of = tiles if lowered.regions.of[key[1]] is Region.TILES else arrays
            of[key] = array.copy()
    if ("value", lowered.graph.output) not in tiles:
        arrays["value", lowered.graph.output] = output.copy()
    _exchange(lowered, tiling, record, tiles)
    _exchange_arrays(record, arrays)
    differences = {}
    for (what, value), new in committed.items():
        if what != "sums":
            continue
        if (what, value) in arrays:
            difference = new - arrays[what, value]
            differences[value] = difference.reshape(lowered.batch, -1, *new.shape[1:]).sum(1, dtype=np.float64)
        else:
            old = tiles[what, value] if (what, value) in tiles else _sums(tiles["value", value])
            rows = tiling.at(lowered.graph.nodes[value].shape[1:3]).rows
            differences[value] = _by_image(new - old, rows, lowered.batch)
    renewed: dict[Any, Array] = {}
    for norm in lowered.renewed:
        _, h, w, _ = lowered.graph.nodes[norm.parts[0]].shape
        difference = np.concatenate([differences[value] for value in norm.parts], 2)
        moments = statistics.moved(record["moments", norm.value], difference, h * w)
        scale, shift = statistics.affine(moments, record["gain", norm.value], norm.eps)
        renewed |= {("moments", norm.value): moments, ("scale", norm.value): scale, ("shift", norm.value): shift}
    _exchange_arrays(record, renewed)
    return Replaced(arrays | renewed, tiles, tiling)


def swap(lowered: Lowered, record: Mapping[Any, Array], replaced: Replaced) -> Replaced:
    """Puts what was replaced back into a record, and returns what that replaces."""
    arrays = {key: array.copy() for key, array in replaced.arrays.items()}
    tiles = {key: array.copy() for key, array in replaced.tiles.items()}
    _exchange_arrays(record, arrays)
    if replaced.tiling is not None:
        _exchange(lowered, replaced.tiling, record, tiles)
    return Replaced(arrays, tiles, replaced.tiling)


def _exchange_arrays(record: Mapping[Any, Array], arrays: Mapping[Any, Array]) -> None:
    for key, array in arrays.items():
        array[...], record[key][...] = record[key].copy(), array.copy()


def _exchange(lowered: Lowered, tiling: Tiling, record: Mapping[Any, Array], tiles: Mapping[Any, Array]) -> None:
    """Exchanges the tiles of recorded arrays."""
    for (what, value), blocks in tiles.items():
        _, h, w, _ = lowered.graph.nodes[value].shape
        rows, plane = tiling.at((h, w)).rows, record[what, value]
        if what == "sums":
            across, down = -(-w // lowered.tile), -(-h // lowered.tile)
            at = (rows[:, 0] * down + rows[:, 1]) * across + rows[:, 2]
            blocks[...], plane[at] = plane[at], blocks.copy()
        else:
            _exchange_blocks(plane, lowered.tile, rows, blocks)


def _exchange_blocks(plane: Array, tile: int, rows: Rows, blocks: Array) -> None:
    """Exchanges blocks (N, tile, tile, C) with the listed tiles of a plane (B, H, W, C)."""
    for block, (image, row, column) in zip(blocks, rows.tolist(), strict=True):
        part = plane[image, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        h, w = part.shape[:2]
        block[:h, :w], part[...] = part.copy(), block[:h, :w].copy()


def _sums(blocks: Array) -> npt.NDArray[np.float64]:
    """Returns the sums of blocks (N, tile, tile, C) and of their squares, (N, 2, C)."""
    values = blocks.reshape(len(blocks), -1, blocks.shape[-1]).astype(np.float64)
    return np.stack([values.sum(1), (values**2).sum(1)], axis=1)


def _by_image(sums: npt.NDArray[np.floating[Any]], rows: Rows, batch: int) -> npt.NDArray[np.float64]:
    """Adds up the sums (N, 2, C) of listed tiles image by image, (B, 2, C)."""
    of = [sums[rows[:, 0] == image].sum(0, dtype=np.float64) for image in range(batch)]
    return np.stack(of)
