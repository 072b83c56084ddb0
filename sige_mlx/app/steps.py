"""The steps of a document in its file: what can be undone and done again, and the results that these speak of. What is
read is taken for nobody's: every rectangle is within its picture, and as large as it says, or the file is damaged."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sige_mlx.app.document import Document
from sige_mlx.app.history import Change, Deed, Packed, Patch, Values
from sige_mlx.app.protocol import MOST_SEEDS
from sige_mlx.app.results import Found
from sige_mlx.app.subjects import OfLabels, Original, Part
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.container import Array, Container

MOST = 1 << 28
"""Bytes, before they are compressed, of the steps that a file keeps: those next to the present, first of what can be
undone, and then of what can be done again."""

NOW = ("found", "variants", "version", "stale", "last")
"""Fields of a document that its file keeps as they are."""

NAMES = ("stroke", "fill", "render", "accept", "reject", "choose")
"""What deeds are called."""

FIGURES = ("edited", "tiles", "all_tiles", "macs", "dense_macs", "ms", "engine_ms", "dense_ms", "recording_ms")
"""The numbers among a result's figures."""


class Steps(NamedTuple):
    """What a document can go back to at a moment, for another thread to write."""

    undo: list[Deed]
    redo: list[Deed]
    now: dict[str, Any]

    @classmethod
    def of(cls, document: Document) -> Steps:
        """Those of a document."""
        undo, redo = (
            [Deed(deed.name, [*deed.changes], [*deed.also]) for deed in deeds]
            for deeds in (document.history.undo, document.history.redo)
        )
        return cls(undo, redo, {name: getattr(document, name) for name in NOW})


def write(arrays: dict[str, Array], of: Steps) -> dict[str, Any]:
    """Adds steps to the arrays of a file; returns what else is to be told of them."""
    writer = _Writer(arrays)
    now = writer.values(of.now)
    told: dict[str, Any] = {"now": now, "undo": [], "redo": []}
    for which, deeds in (("undo", of.undo), ("redo", of.redo)):
        for deed in reversed(deeds):
            if not writer.fits(deed):
                break
            changes = [writer.change(change) for change in deed.changes]
            told[which].insert(0, {"name": deed.name, "also": deed.also, "changes": changes})
        if len(told[which]) < len(deeds):
            break  # what lies behind a missing step cannot be reached
    return {**told, "founds": writer.founds}


def read(file: Container, told: dict[str, Any], document: Document) -> None:
    """Gives a document, just made, the steps that a file has of it. Raises `ValueError` and others for what makes no
    sense."""
    reader = _Reader(file, document)
    reader.founds = [reader.found(of) for of in told["founds"]]
    for which, deeds in (("undo", document.history.undo), ("redo", document.history.redo)):
        for deed in told[which]:
            names = [deed["name"], *deed["also"]]
            if any(name not in NAMES for name in names):
                raise ValueError("a step in it has no known name")
            deeds.append(Deed(names[0], [reader.change(of) for of in deed["changes"]], names[1:]))
    for name, value in reader.values({name: told["now"][name] for name in NOW}).items():
        setattr(document, name, value)
    document.history.fit()


class _Writer:
    """Names arrays by the order in which they come, and results by theirs, for many steps speak of one."""

    def __init__(self, arrays: dict[str, Array]):
        self._arrays, self._room = arrays, MOST
        self._names = itertools.count()
        self._numbers: dict[int, int] = {}
        self.founds: list[dict[str, Any]] = []

    def fits(self, deed: Deed) -> bool:
        """Whether there is room for a deed, which is taken then."""
        fresh = {id(found): found for change in deed.changes for found in _founds(change)}
        size = sum(change.kept.size for change in deed.changes if isinstance(change, Patch))
        size += sum(change.part.size for change in deed.changes if isinstance(change, Original))
        size += sum(found.size for number, found in fresh.items() if number not in self._numbers)
        self._room -= size
        return self._room >= 0

    def change(self, change: Change) -> dict[str, Any]:
        if isinstance(change, Patch):
            return {"plane": change.plane, "box": change.box, "kept": self._packed(change.kept)}
        if isinstance(change, Original):
            return {"original": self._part(change.part)}
        assert isinstance(change, Values)
        return {"values": self.values(change.of)}

    def values(self, of: dict[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, value) for name, value in of.items()}

    def _value(self, name: str, value: Any) -> Any:
        if name == "variants":
            return [self._found(found) for found in value]
        if name in ("found", "last", "version"):  # the first version is no result
            return self._found(value) if isinstance(value, Found) else None
        return value

    def _found(self, found: Found) -> int:
        if id(found) not in self._numbers:
            self._numbers[id(found)] = len(self.founds)
            self.founds.append(
                {
                    "seed": found.seed,
                    "part": self._part(found.part) if found.part else None,
                    "box": found.box,
                    "pixels": self._packed(found.pixels) if found.pixels else None,
                    "figures": found.figures,
                    "tiles": found.tiles,
                    "notes": found.notes,
                }
            )
        return self._numbers[id(found)]

    def _part(self, part: Part) -> dict[str, Any]:
        return {"box": part.box, "kept": [None if kept is None else self._packed(kept) for kept in part.kept]}

    def _packed(self, packed: Packed) -> str:
        name = f"kept.{next(self._names)}"
        self._arrays[name] = np.frombuffer(packed.compressed, np.uint8)
        return name


class _Reader:
    """Makes of what is told what a document has."""

    def __init__(self, file: Container, document: Document):
        self._file, self._document = file, document
        self._first = document.version
        arrays = document.subject.arrays(document.given)
        of_result = document.result.nbytes + sum(array.nbytes for array in arrays if array is not None)
        self._room = MOST + (MOST_SEEDS + 2) * of_result  # the present's results are kept however large they are
        self.founds: list[Found] = []

    def change(self, told: dict[str, Any]) -> Change:
        if "values" in told:
            return Values(self.values(told["values"]))
        if "original" in told:
            return Original(self._part(told["original"]))
        plane = {"canvas": self._document.canvas, "result": self._document.result, "base": self._document.base}
        array, box = plane[told["plane"]], self._box(told["box"])
        if array is None:
            raise ValueError("a step in it changes a picture that is not there")
        kept = self._packed(told["kept"], (*box.size, *array.shape[2:]), array.dtype)
        if told["plane"] == "canvas":
            self._check_labels(kept)
        return Patch(told["plane"], box, Packed(kept))

    def values(self, told: dict[str, Any]) -> dict[str, Any]:
        return {name: _VALUES[name](self, value) for name, value in told.items()}

    def found(self, told: dict[str, Any]) -> Found:
        """A result."""
        box = self._box(told["box"]) if told["box"] else None
        pixels = self._packed(told["pixels"], (*box.size, 3), np.dtype(np.uint8)) if box else None
        figures: dict[str, Any] = {name: _number(told["figures"].get(name)) for name in FIGURES}
        way, window, tiles = told["figures"].get("way"), told["figures"].get("window"), told["tiles"]
        figures["way"] = "tiles" if way == "tiles" else "dense pass"
        figures["window"] = None if window is None else [int(at) for at in window][:4]
        if tiles is not None:
            numbers = {name: float(tiles[name]) for name in ("size", "x", "y", "w", "h")}
            tiles = {**numbers, "active": [[int(row), int(column)] for row, column in tiles["active"]]}
        part = self._part(told["part"]) if told["part"] else None
        kept = None if pixels is None else Packed(pixels)
        return Found(_seed(told["seed"]), part, box, kept, figures, tiles, tuple(map(str, told["notes"])))

    def one(self, number: int | None) -> Found | None:
        """A result by its number."""
        return None if number is None else self.founds[_index(number, len(self.founds))]

    def several(self, numbers: list[int]) -> tuple[Found, ...]:
        """Results by their numbers."""
        if len(numbers) > MOST_SEEDS:
            raise ValueError("it has too many variants")
        return tuple(self.founds[_index(number, len(self.founds))] for number in numbers)

    def version(self, number: int | None) -> object:
        """A version of the original by the number of the result that became it."""
        return self._first if number is None else self.one(number)

    def _box(self, told: Any) -> Box:
        box = Box(*map(int, told))
        if not box.within(self._document.size):
            raise ValueError("a rectangle in it is not a part of its picture")
        return box

    def stale(self, told: Any) -> Box | None:
        """A rectangle, or none."""
        return self._box(told) if told else None

    def _part(self, told: dict[str, Any]) -> Part:
        box = self._box(told["box"])
        kept: list[Packed | None] = []
        wholes = self._document.subject.arrays(self._document.given)
        for whole, name in zip(wholes, told["kept"], strict=True):
            array = None
            if whole is not None and name is not None:
                array = self._packed(name, (*box.size, *whole.shape[2:]), whole.dtype)
                if not kept:
                    self._check_labels(array)
            kept.append(None if array is None else Packed(array))
        return Part(box, kept)

    def _packed(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        size = int(np.prod(shape)) * dtype.itemsize
        self._room -= size
        if self._room < 0:
            raise ValueError("it has more steps than are ever kept")
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(self._file.array(name).tobytes(), size + 1)
        if len(data) != size:
            raise ValueError(f"{name} is not as large as its rectangle")
        return np.frombuffer(data, dtype).reshape(shape)

    def _check_labels(self, labels: npt.NDArray[Any]) -> None:
        subject = self._document.subject
        if isinstance(subject, OfLabels) and not 0 <= labels.min() <= labels.max() < len(subject.classes):
            raise ValueError("a step in it has a label that its model does not know")


_VALUES: dict[str, Callable[[_Reader, Any], Any]] = {
    "found": _Reader.one,
    "last": _Reader.one,
    "variants": _Reader.several,
    "version": _Reader.version,
    "stale": _Reader.stale,
    "made": lambda reader, value: bool(value),
    "seed": lambda reader, value: _seed(value),
}
"""What is made of fields of a document."""


def _founds(change: Change) -> Iterator[Found]:
    """The results that a change speaks of."""
    for value in change.of.values() if isinstance(change, Values) else ():
        for found in value if isinstance(value, tuple) else (value,):
            if isinstance(found, Found):
                yield found


def _index(number: Any, count: int) -> int:
    if type(number) is not int or not 0 <= number < count:
        raise ValueError("it speaks of a result that is not in it")
    return number


def _number(value: Any) -> float | int | None:
    if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
        raise ValueError("a figure in it is no number")
    return value


def _seed(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < 2**32):
        raise ValueError("a seed in it is none")
    return value
