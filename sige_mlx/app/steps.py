"""The steps of a document in its file: what can be undone and done again, and the results that these speak of. What is
read is taken for nobody's: every rectangle is within its picture, and as large as it says, or the file is damaged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast, get_args, get_type_hints

import numpy as np

from sige_mlx.app.document import Document
from sige_mlx.app.history import Change, Deed, Name, Packed, Patch, Values
from sige_mlx.app.protocol import MOST_SEEDS, MOST_TEXT
from sige_mlx.app.results import MOST_TILES, Figures, Found
from sige_mlx.app.subjects import OfLabels, Original, Part
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.container import Array, Container
from sige_mlx.editing.result import Way

MOST = 1 << 28
"""Bytes, before they are compressed, of the steps that a file keeps: those next to the present, first of what can be
undone, and then of what can be done again."""

NOW = ("found", "variants", "version", "stale", "last")
"""Fields of a document that its file keeps as they are."""

NUMBERS = [name for name, kind in get_type_hints(Figures).items() if kind in (int, float)]
"""The figures of a result that are always numbers."""

FURTHEST = 0xFFFF
"""Pixels, or tiles, along a side of a picture."""


class Steps(NamedTuple):
    """What a document can go back to at a moment, for another thread to write."""

    undo: list[Deed]
    redo: list[Deed]
    now: dict[str, Any]

    @classmethod
    def of(cls, document: Document) -> Steps:
        """Those of a document."""
        undo, redo = ([Deed(deed.name, [*deed.changes], [*deed.also]) for deed in deeds] for deeds in document.steps())
        return cls(undo, redo, {name: getattr(document, name) for name in NOW})


def write(arrays: dict[str, Array], of: Steps) -> dict[str, Any]:
    """Adds steps to the arrays of a file; returns what else is to be told of them."""
    writer = _Writer(arrays)
    now = writer.values(of.now)
    told: dict[str, Any] = {"now": now, "undo": [], "redo": []}
    for which, deeds in (("undo", of.undo), ("redo", of.redo)):
        for deed in reversed(deeds):
            if not writer.fits(deed):
                break  # what lies behind a missing step cannot be reached
            changes = [writer.change(change) for change in deed.changes]
            told[which].insert(0, {"name": deed.name, "also": deed.also, "changes": changes})
    return {**told, "founds": writer.founds}


def read(file: Container, told: dict[str, Any], document: Document) -> None:
    """Gives a document, just made, the steps that a file has of it. Raises `ValueError` and others for what makes no
    sense."""
    reader = _Reader(file, document, told["founds"])
    for which, deeds in (("undo", document.history.undo), ("redo", document.history.redo)):
        for deed in told[which]:
            names = [deed["name"], *deed["also"]]
            if any(name not in get_args(Name) for name in names):
                raise ValueError("a step in it has no known name")
            # Earlier files have rectangles of the result, which follows from what the document found.
            changes = [reader.change(of) for of in deed["changes"] if of.get("plane") != "result"]
            deeds.append(Deed(names[0], changes, names[1:]))
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

    def __init__(self, file: Container, document: Document, founds: list[dict[str, Any]]):
        self._file, self._document = file, document
        self._first, self._used = document.version, set[str]()
        arrays = document.subject.arrays(document.given)
        of_result = document.result.nbytes + sum(array.nbytes for array in arrays if array is not None)
        self._room = MOST + (MOST_SEEDS + 2) * of_result  # the present's results are kept however large they are
        self._founds = [self._found(of) for of in founds]

    def change(self, told: dict[str, Any]) -> Change:
        if "values" in told:
            return Values(self.values(told["values"]))
        if "original" in told:
            return Original(self._part(told["original"]))
        plane = {"canvas": self._document.canvas, "base": self._document.base}
        array, box = plane[told["plane"]], self._box(told["box"])
        if array is None:
            raise ValueError("a step in it changes a picture that is not there")
        kept = self._packed(told["kept"], (*box.size, *array.shape[2:]), array.dtype)
        if told["plane"] == "canvas":
            self._check_labels(kept)
        return Patch(told["plane"], box, kept)

    def values(self, told: dict[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, value) for name, value in told.items()}

    def _value(self, name: str, told: Any) -> Any:
        if name == "variants":
            if len(told) > MOST_SEEDS:
                raise ValueError("it has too many variants")
            return tuple(map(self._numbered, told))
        if name in ("found", "last", "version"):
            none = self._first if name == "version" else None
            return none if told is None else self._numbered(told)
        if name == "stale":
            return self._box(told) if told else None
        if name == "seed":
            return _seed(told)
        if name == "made":
            return bool(told)
        raise ValueError("a step in it changes what no step does")

    def _found(self, told: dict[str, Any]) -> Found:
        box = self._box(told["box"]) if told["box"] else None
        pixels = self._packed(told["pixels"], (*box.size, 3), np.dtype(np.uint8)) if box else None
        part = self._part(told["part"]) if told["part"] else None
        tiles = None if told["tiles"] is None else _tiles(told["tiles"])
        return Found(_seed(told["seed"]), part, box, pixels, _figures(told["figures"]), tiles, _notes(told["notes"]))

    def _numbered(self, number: Any) -> Found:
        """A result by its number."""
        return self._founds[_whole(number, len(self._founds) - 1)]

    def _box(self, told: Any) -> Box:
        box = Box(*map(int, told))
        if not box.within(self._document.size):
            raise ValueError("a rectangle in it is not a part of its picture")
        return box

    def _part(self, told: dict[str, Any]) -> Part:
        box = self._box(told["box"])
        kept: list[Packed | None] = []
        wholes = self._document.subject.arrays(self._document.given)
        for whole, name in zip(wholes, told["kept"], strict=True):
            if whole is None or name is None:
                kept.append(None)
                continue
            packed = self._packed(name, (*box.size, *whole.shape[2:]), whole.dtype)
            if not kept:
                self._check_labels(packed)
            kept.append(packed)
        return Part(box, kept)

    def _packed(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Packed:
        """An array, which stays compressed. One that is read is the only one of its name, and hardly larger in the file
        than zlib makes anything: reading all of them takes no longer than reading the file, and what is in them."""
        size = math.prod(shape) * dtype.itemsize
        self._room -= size
        if self._room < 0:
            raise ValueError("it has more steps than are ever kept")
        if name in self._used:
            raise ValueError(f"two steps in it keep {name}")
        self._used.add(name)
        stored = self._file.array(name)
        if stored.dtype != np.uint8 or stored.ndim != 1 or stored.size > size + size // 500 + 64:
            raise ValueError(f"{name} is not as large as its rectangle")
        return Packed.of_compressed(stored.tobytes(), shape, dtype)

    def _check_labels(self, packed: Packed) -> None:
        subject = self._document.subject
        if isinstance(subject, OfLabels):
            labels = packed.array
            if not 0 <= labels.min() <= labels.max() < len(subject.classes):
                raise ValueError("a step in it has a label that its model does not know")


def _founds(change: Change) -> Iterator[Found]:
    """The results that a change speaks of."""
    for value in change.of.values() if isinstance(change, Values) else ():
        for found in value if isinstance(value, tuple) else (value,):
            if isinstance(found, Found):
                yield found


def _figures(told: dict[str, Any]) -> Figures:
    dense, way, window = told["dense_ms"], told["way"], told["window"]
    if way not in get_args(Way) or not (window is None or len(window) == 4):
        raise ValueError("a result in it was computed in a way that is not known")
    others = {
        "dense_ms": None if dense is None else _number(dense),
        "way": way,
        "window": None if window is None else [_whole(at, FURTHEST) for at in window],
    }
    return cast(Figures, {name: _number(told[name]) for name in NUMBERS} | others)


def _tiles(told: dict[str, Any]) -> dict[str, Any]:
    if len(told["active"]) > MOST_TILES:
        raise ValueError("a result in it has more tiles than are told of")
    active = [[_whole(row, FURTHEST), _whole(column, FURTHEST)] for row, column in told["active"]]
    return {**{name: _number(told[name]) for name in ("size", "x", "y", "w", "h")}, "active": active}


def _notes(told: list[Any]) -> tuple[str, ...]:
    if any(not isinstance(note, str) for note in told) or sum(map(len, told)) + len(told) > MOST_TEXT:
        raise ValueError("the notes of a result in it are none")
    return tuple(told)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a figure in it is no number")
    return value


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"a number in it is not one of 0 to {most}")
    return value


def _seed(value: Any) -> int | None:
    return None if value is None else _whole(value, 2**32 - 1)
