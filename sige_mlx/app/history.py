"""What can be undone: changed rectangles and replaced values, each kept once, of whichever side is not the present."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.boxes import Box

Name = Literal["stroke", "fill", "render", "accept", "reject", "choose"]
"""What deeds are called."""

SMALL = 512
"""Bytes that are not worth being compressed."""

PIECE = 1 << 14
"""Bytes that are inflated at a time, to be counted: a thousand times as many at most."""


class Packed:
    """An array that is kept for later: compressed once `squeeze` was called, which another thread may do."""

    def __init__(self, array: npt.NDArray[Any]):
        self._shape, self._dtype = array.shape, array.dtype
        self._data: npt.NDArray[Any] | bytes = np.ascontiguousarray(array)

    @classmethod
    def of_compressed(cls, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Packed:
        """One of such a shape and type, of `compressed` bytes. Raises `ValueError` where they are of another."""
        made = cls(np.empty(0, dtype))
        made._data, made._shape = data, shape
        unpacker, size = zlib.decompressobj(), 0
        for at in range(0, len(data), PIECE):
            size += len(unpacker.decompress(data[at : at + PIECE]))
            if size > made.size:
                break
        if size != made.size or not unpacker.eof or unpacker.unused_data:
            raise ValueError("a part of it is not as large as its rectangle")
        return made

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        data = self._data
        return len(data) if isinstance(data, bytes) else data.nbytes

    @property
    def size(self) -> int:
        """Bytes that it takes when it is not compressed."""
        return math.prod(self._shape) * self._dtype.itemsize

    @property
    def compressed(self) -> bytes:
        """Its bytes as zlib has them."""
        data = self._data
        return data if isinstance(data, bytes) else zlib.compress(data.tobytes(), 1)

    @property
    def array(self) -> npt.NDArray[Any]:
        """As it was; not to be written into."""
        data = self._data
        if isinstance(data, bytes):
            return np.frombuffer(zlib.decompress(data), self._dtype).reshape(self._shape)
        return data

    def squeeze(self) -> None:
        """Compresses it."""
        data = self._data
        if not isinstance(data, bytes) and data.nbytes > SMALL:
            self._data = self.compressed


class Change(Protocol):
    """A part of the document as it was on the other side of a deed."""

    @property
    def nbytes(self) -> int: ...

    def swap(self, document: Any) -> Change:
        """Puts it into the document; returns what was there."""
        ...

    def squeeze(self) -> None: ...


@dataclass(frozen=True)
class Patch:
    """A rectangle of one of the document's arrays."""

    plane: str
    box: Box
    kept: Packed

    @classmethod
    def of(cls, plane: str, box: Box, array: npt.NDArray[Any]) -> Patch:
        """What a rectangle of an array has."""
        return cls(plane, box, Packed(box.of(array).copy()))

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes

    def swap(self, document: Any) -> Patch:
        array = getattr(document, self.plane)
        before = Patch.of(self.plane, self.box, array)
        self.box.of(array)[...] = self.kept.array
        return before

    def squeeze(self) -> None:
        self.kept.squeeze()


@dataclass(frozen=True)
class Values:
    """Values of fields of the document."""

    of: dict[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(getattr(value, "nbytes", 0) for value in self.of.values())

    def swap(self, document: Any) -> Values:
        before = {name: getattr(document, name) for name in self.of}
        for name, value in self.of.items():
            setattr(document, name, value)
        return Values(before)

    def squeeze(self) -> None:
        for value in self.of.values():
            if hasattr(value, "squeeze"):
                value.squeeze()


@dataclass
class Deed:
    """One step that undo takes back."""

    name: Name
    changes: list[Change]
    also: list[Name]
    """Names of what was joined to it."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(change.nbytes for change in self.changes)

    def boxes(self, plane: str) -> list[Box]:
        """The rectangles of an array that it changes."""
        return [change.box for change in self.changes if isinstance(change, Patch) and change.plane == plane]

    def swapped(self, document: Any) -> Deed:
        """Takes it back, or does it again; returns what does the opposite."""
        changes = [change.swap(document) for change in reversed(self.changes)]
        return Deed(self.name, changes, self.also)


class History:
    """Deeds to undo and to do again. They take at most `budget` bytes: the oldest are forgotten where they would take
    more."""

    def __init__(self, budget: int):
        self.budget = budget
        self.undo: list[Deed] = []
        self.redo: list[Deed] = []
        self.forgotten = 0

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return sum(deed.nbytes for deed in (*self.undo, *self.redo))

    def add(self, name: Name, changes: Sequence[Change]) -> Deed:
        """Notes what takes a deed back. What had been undone can be done again no more."""
        deed = Deed(name, [*changes], [])
        self.undo.append(deed)
        self.redo.clear()
        return deed

    def join(self, deed: Deed, name: Name, changes: Sequence[Change]) -> bool:
        """Has a later deed be taken back with another, if nothing was done since; returns whether it could."""
        if self.redo or not self.undo or self.undo[-1] is not deed:
            return False
        deed.changes.extend(changes)
        deed.also.append(name)
        return True

    def squeeze(self) -> None:
        """Compresses what is not yet; another thread may do that."""
        for deed in [*self.undo, *self.redo]:
            for change in [*deed.changes]:
                change.squeeze()

    def fit(self) -> None:
        """Forgets what is over the budget."""
        over = self.nbytes - self.budget
        while over > 0 and (self.undo or self.redo):
            over -= (self.undo or self.redo).pop(0).nbytes
            self.forgotten += 1
