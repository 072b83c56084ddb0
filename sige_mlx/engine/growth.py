"""Growth: tiles join an edit where what they read has changed by more than a tolerance.

The mask of an edit is dilated so far that what its tiles change beyond them is small. How small depends on the network
and on the edit; growth looks. Edits are run as commits that are undone at once: what these replaced in the record, and
what they put there, tells which tiles have changed.
"""

from typing import Any

import numpy as np

from sige_mlx.engine.changes import Replaced
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.reads import Held, Pixels, tiles_reached
from sige_mlx.graph.tiling import ActiveTiles, Size, Tiling


def grown(lowered: Lowered, tiling: Tiling, before: Replaced, after: Replaced, codec: str, tolerance: float) -> Tiling:
    """Returns the tiles of an edit and those that read what it changes: parts of the record `before` a commit and
    `after` it say what that is. The same tiling where there are no others. Raises `SigeError` for recordings that hold
    no plain numbers."""
    changed = {key: _changed(lowered, key, before, after, codec, tolerance) for key in lowered.stored}
    joined: dict[Size, ActiveTiles] = {}
    for size, tiles in tiles_reached(lowered.edit_of(tiling), tiling, changed).items():
        active = tiling.at(size).grid >= 0
        if (tiles & ~active).any():
            joined[size] = ActiveTiles.of(size, lowered.tile, active | tiles)
    return Tiling(tiling.mask, {**tiling.levels, **joined}) if joined else tiling


def _changed(lowered: Lowered, key: Any, before: Replaced, after: Replaced, codec: str, tolerance: float) -> Held:
    """Returns which tiles of a recorded plane have changed."""
    n, h, w, _ = lowered.graph.nodes[key[1]].shape
    if key not in before.tiles:  # whole planes, as the reference executor keeps them
        return _tiles(_differ(before.arrays[key[1]], after.arrays[key[1]], tolerance), lowered.tile)
    numbers = np.asarray(before.tiles[key].numbers)
    old, new = (np.asarray(of.tiles[key].data) for of in (before, after))
    if old.dtype == np.uint8:  # tiles, as the CPU encodes them: those of the output in float32
        of = "float32" if key == ("value", lowered.graph.output) else codec
        if of == "int8":
            raise SigeError("recordings in int8 do not tell what changes: raise their budget, or let nothing grow")
        found = np.zeros((n, -(-h // lowered.tile), -(-w // lowered.tile)), np.bool_)
        found.reshape(-1)[numbers] = _differ(old.view(of), new.view(of), tolerance)
        return found
    pixels = np.zeros((n, h, w), np.bool_)  # as the GPU keeps them
    pixels.reshape(-1)[numbers] = _differ(old, new, tolerance)
    return _tiles(pixels, lowered.tile)


def _differ(old: Any, new: Any, tolerance: float) -> Any:
    old, new = (np.asarray(x, np.float32) for x in (old, new))
    return (np.abs(new - old) > tolerance).any(-1)


def _tiles(pixels: Pixels, tile: int) -> Held:
    """Returns which tiles hold one of these pixels."""
    for axis in (1, 2):
        pixels = np.logical_or.reduceat(pixels, np.arange(0, pixels.shape[axis], tile), axis)
    return pixels
