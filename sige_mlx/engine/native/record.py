"""The record of a step on the CPU: one block of memory, in which planes are stored as tiles."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced, Tiles, Touched
from sige_mlx.engine.native.arena import ALIGNMENT
from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.recordings import Record
from sige_mlx.graph.lowered import Lowered

Array = npt.NDArray[Any]

CODECS = ("float32", "float16", "int8")
"""How tiles may be stored, as sige_codec numbers them."""


@dataclass(frozen=True)
class Place:
    """Where a recorded array is in the block: `count` tiles of a plane, or an array of this shape and type."""

    offset: int
    count: int
    shape: tuple[int, ...]
    dtype: str
    codec: int | None = None

    @property
    def nbytes(self) -> int:
        return self.count * int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class Layout:
    """Where everything of a record is. Planes are stored by `codec`, but for the output, whose pixels are shown as they
    were recorded. Of a plane in `only` no more than these tiles are held: bool, a number for each tile of each image
    in raster order."""

    def __init__(self, lowered: Lowered, codec: str, only: Mapping[Any, npt.NDArray[np.bool_]] | None = None):
        self.codec = codec
        self.only = only or {}
        self.places: dict[Any, Place] = {}
        self.nbytes = 0
        output = "value", lowered.graph.output
        for key, buffer in lowered.recorded.items():
            if key in lowered.stored:
                n, h, w, c = buffer.shape
                how = CODECS.index("float32" if key == output else codec)
                tiles = n * -(-h // lowered.tile) * -(-w // lowered.tile)
                count = int(self.only[key].sum()) if key in self.only else tiles
                size = library().sige_tile_bytes(how, lowered.tile, c)
                self._add(key, count, (size,), "uint8", how)
            else:
                self._add(key, 1, buffer.shape, buffer.dtype)
        if output not in self.places:  # it is not read by edits, which compute all of it
            self._add(output, 1, lowered.graph.nodes[lowered.graph.output].shape, "float32")

    def _add(self, key: Any, count: int, shape: tuple[int, ...], dtype: str, codec: int | None = None) -> None:
        place = self.places[key] = Place(self.nbytes, count, shape, dtype, codec)
        self.nbytes += -(-place.nbytes // ALIGNMENT) * ALIGNMENT


class NativeRecord(Record):
    """The arrays of the original that edits read, in a block of bytes. Those of planes are tiles, uint8 (tiles, bytes
    of a tile), and what the library finds them by is in `address`."""

    def __init__(self, layout: Layout, block: npt.NDArray[np.uint8]):
        self.layout = layout
        self.block = block
        arrays: dict[Any, Array] = {}
        self.address: dict[Any, int] = {}
        """Each array, or the struct that describes its tiles, begins here. To ask NumPy takes longer than all else that
        is done for an op."""
        self._alive: list[Any] = []
        self._index: dict[Any, npt.NDArray[np.int32]] = {}
        start = block.ctypes.data
        for key, place in layout.places.items():
            count = (place.count,) if place.codec is not None else ()
            part = block[place.offset : place.offset + place.nbytes]
            arrays[key] = part.view(place.dtype).reshape(*count, *place.shape)
            self.address[key] = start + place.offset
            if place.codec is not None:
                self.address[key] = self._described(key, place, start + place.offset)
        super().__init__(arrays)

    def _described(self, key: Any, place: Place, address: int) -> int:
        """Returns the address of the struct that describes a plane's tiles."""
        index = None
        if key in self.layout.only:
            held = self.layout.only[key]
            numbers = np.where(held, np.cumsum(held) - 1, -1).astype(np.int32)
            self._index[key] = numbers
            index = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        struct = header().structs["sige_stored"]()
        struct.tiles = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        struct.index, struct.codec = index, place.codec
        self._alive.append(struct)
        return ctypes.addressof(struct)

    @property
    def nbytes(self) -> int:
        return self.block.nbytes

    def part(self, touched: Touched) -> Replaced:
        """Returns copies of what a commit will replace."""
        tiles = {key: Tiles(numbers, self.arrays[key][numbers]) for key, numbers in touched.tiles.items()}
        return Replaced({key: self.arrays[key].copy() for key in touched.arrays}, tiles)

    def exchange(self, replaced: Replaced) -> Replaced:
        """Puts parts into their places, and returns what was there."""
        touched = Touched({key: tiles.numbers for key, tiles in replaced.tiles.items()}, tuple(replaced.arrays))
        before = self.part(touched)
        self.put(replaced)
        return before

    def put(self, replaced: Replaced) -> None:
        """Puts parts into their places."""
        for key, array in replaced.arrays.items():
            self.arrays[key][...] = array
        for key, (numbers, data) in replaced.tiles.items():
            self.arrays[key][numbers] = data
