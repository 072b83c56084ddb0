"""The record of a step on the CPU: one block of memory, in which planes are stored as tiles."""

import ctypes
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced, Tiles, Touched
from sige_mlx.engine.files import Bytes, MappedFile
from sige_mlx.engine.native.arena import ALIGNMENT
from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.recordings import Codec, Kept, Record
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.reads import Held

Array = npt.NDArray[Any]

CODECS: tuple[Codec, ...] = ("float32", "float16", "int8")
"""How tiles may be stored, as sige_codec numbers them."""

NEAR = 4096
"""Ranges of bytes that are no further apart are read as one."""


@dataclass(frozen=True)
class Place:
    """Where a recorded array is in the block: `count` tiles of a plane, or an array of this shape and type."""

    offset: int
    count: int
    shape: tuple[int, ...]
    dtype: str
    codec: int | None = None

    @cached_property
    def nbytes(self) -> int:
        return self.count * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """The shape of all of it."""
        return self.shape if self.codec is None else (self.count, *self.shape)


class Layout:
    """Where everything of a record is. Planes are stored by `codec`, but for the output, whose pixels are shown as they
    were recorded. Of a plane in `only` no more than these tiles are held."""

    def __init__(self, lowered: Lowered, codec: Codec, only: Mapping[Any, Held] | None = None):
        self.codec = codec
        self.only = only or {}
        self.places: dict[Any, Place] = {}
        self.nbytes = 0
        output = "value", lowered.graph.output
        for key, buffer in lowered.recorded.items():
            if key not in lowered.stored:
                self._add(key, 1, buffer.shape, buffer.dtype)
        if output not in lowered.stored:  # edits do not read it, for they compute all of it
            self._add(output, 1, lowered.graph.nodes[lowered.graph.output].shape, "float32")
        self.plain = self.nbytes
        """What is no plane takes so many bytes, at the beginning."""
        for key, buffer in lowered.stored.items():
            n, h, w, c = buffer.shape
            how = CODECS.index("float32" if key == output else codec)
            tiles = n * -(-h // lowered.tile) * -(-w // lowered.tile)
            count = int(self.only[key].sum()) if key in self.only else tiles
            self._add(key, count, (library().sige_tile_bytes(how, lowered.tile, c),), "uint8", how)

    def _add(self, key: Any, count: int, shape: tuple[int, ...], dtype: str, codec: int | None = None) -> None:
        place = self.places[key] = Place(self.nbytes, count, shape, dtype, codec)
        self.nbytes += -(-place.nbytes // ALIGNMENT) * ALIGNMENT

    def ranges(self, tiles: Mapping[Any, Held]) -> list[tuple[int, int]]:
        """Returns where in a record some tiles are, and what is no plane: from which byte on, and how many."""
        starts, ends = [np.array([0])], [np.array([self.plain])]
        for key, wanted in tiles.items():
            place = self.places[key]
            numbers = np.flatnonzero(wanted)
            size = place.nbytes // max(place.count, 1)
            starts.append(place.offset + numbers * size)
            ends.append(place.offset + (numbers + 1) * size)
        start, end = np.concatenate(starts), np.concatenate(ends)
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
        first = np.flatnonzero(np.r_[True, start[1:] > end[:-1] + NEAR])
        last = np.r_[first[1:], len(end)] - 1
        return list(zip(start[first].tolist(), (end[last] - start[first]).tolist(), strict=True))


class NativeRecord(Record):
    """The arrays of the original that edits read, in a block of bytes: memory, or a file. Those of planes are tiles,
    uint8 (tiles, bytes of a tile)."""

    def __init__(self, layout: Layout, block: Bytes, file: MappedFile | None = None):
        self.layout = layout
        self._structs: dict[Any, Any] = {}
        self._index: dict[Any, npt.NDArray[np.int32]] = {}
        for key, held in layout.only.items():
            self._index[key] = np.where(held, np.cumsum(held).reshape(held.shape) - 1, -1).astype(np.int32)
        self._place(block, file)

    def _place(self, block: Bytes, file: MappedFile | None) -> None:
        """Makes these bytes the record's own."""
        self.block = block
        self.file = file
        arrays: dict[Any, Array] = {}
        self.address: dict[Any, int] = {}
        """Each array, or the struct that describes its tiles, begins here. To ask NumPy takes longer than all else that
        is done for an op."""
        start = block.ctypes.data
        for key, place in self.layout.places.items():
            arrays[key] = np.ndarray(place.whole, place.dtype, block, place.offset)
            self.address[key] = start + place.offset
            if place.codec is not None:
                self.address[key] = self._described(key, place.codec, start + place.offset)
        super().__init__(arrays)

    def _described(self, key: Any, codec: int, tiles: int) -> int:
        """Returns the address of the struct that describes tiles, which begin at another."""
        struct = self._structs[key] = header().structs["sige_stored"]()
        struct.tiles = ctypes.cast(tiles, ctypes.POINTER(ctypes.c_uint8))
        if key in self._index:
            struct.index = self._index[key].ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        struct.codec = codec
        return ctypes.addressof(struct)

    @property
    def nbytes(self) -> int:
        return self.block.nbytes

    @property
    def kept(self) -> Kept:
        return Kept(0, self.nbytes) if self.file else Kept(self.nbytes, 0)

    def put_on_disk(self, folder: Path) -> None:
        """Moves it into a file without a name in a folder. Raises `SigeError` when that cannot be written."""
        file = MappedFile([self.block], self.nbytes, folder)
        self._place(file.data, file)

    def part(self, touched: Touched) -> Replaced:
        """Returns copies of what a commit will replace."""
        tiles = {key: Tiles(numbers, self.arrays[key][numbers]) for key, numbers in touched.tiles.items()}
        return Replaced({key: self.arrays[key].copy() for key in touched.arrays}, tiles)

    def exchange(self, replaced: Replaced) -> Replaced:
        """Puts parts into their places, and returns what was there."""
        numbers = {key: tiles.numbers for key, tiles in replaced.tiles.items()}
        if self.file is None:
            before = self.part(Touched(numbers, tuple(replaced.arrays)))
            self.put(replaced)
            return before
        tiles = {key: Tiles(of, np.empty_like(data)) for key, (of, data) in replaced.tiles.items()}
        runs = [
            (self.layout.places[key].offset + int(of[run.start]) * data[0].nbytes, data[run], tiles[key].data[run])
            for key, (of, data) in replaced.tiles.items()
            for run in _runs(of)
        ]
        self.file.need([(0, self.layout.plain), *((start, data.nbytes) for start, data, _ in runs)])
        for run in runs:
            self.file.exchange(*run)
        before = self.part(Touched({}, tuple(replaced.arrays)))
        self.put(Replaced(replaced.arrays, {}))
        return Replaced(before.arrays, tiles)

    def put(self, replaced: Replaced) -> None:
        """Puts parts into their places."""
        for key, array in replaced.arrays.items():
            self.arrays[key][...] = array
        for key, (numbers, data) in replaced.tiles.items():
            self.arrays[key][numbers] = data


def _runs(numbers: Array) -> Iterator[slice]:
    """Yields which of the numbers of tiles follow one another."""
    edges = np.flatnonzero(np.diff(numbers, prepend=-2, append=-2) != 1).tolist()
    return itertools.starmap(slice, itertools.pairwise(edges))
