"""Keys and values of recorded passes, by step, stream and layer, and the rows that an edit lays over them.

The arrays of a place have spare rows behind those of the sequence. An edit writes its keys and values there, which MLX
does in place while nobody else holds the array, and attention masks out the rows that they replace. So an edit never
copies a record that is stored as attention reads it, and never writes to a recorded row; int8 is decoded for one layer
at a time. A commit moves the spare rows to the places of those they replace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.files import MappedFile
from sige_mlx.engine.recordings import Codec, Kept
from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import ActiveTokens

RECORD_PRECISIONS: dict[Codec, mx.Dtype] = {
    "float32": mx.float32,
    "float16": mx.float16,
    "bfloat16": mx.bfloat16,
    "int8": mx.int8,
}
"""What keys and values are stored in, by name. int8 has a scale in bfloat16 for each head of each token."""

SPARE = 64
"""Spare rows are allocated by so many at a time: strokes of about one size share arrays and compiled kernels."""

LARGEST_CODE = 127


def row_nbytes(precision: Codec, heads: int, head_dim: int) -> int:
    """Bytes that the keys and values of one token take in one layer."""
    size = RECORD_PRECISIONS[precision].size
    return 2 * heads * (head_dim * size + (mx.bfloat16.size if precision == "int8" else 0))


@dataclass(frozen=True)
class Place:
    """One attention of one pass."""

    step: Hashable
    stream: str
    layer: int


Bytes = npt.NDArray[np.uint8]


class _Stored:
    """Keys, or values: codes [B, heads, rows, head_dim], and scales [B, heads, rows, 1] where there are any."""

    def __init__(self, parts: list[mx.array], precision: Codec):
        self.precision, self.parts = precision, parts

    @classmethod
    def of(cls, given: mx.array, precision: Codec) -> _Stored:
        """Made contiguous they are arrays of their own: a view would keep alive the wide projection they were cut
        from."""
        return cls([mx.contiguous(part) for part in encoded(given, precision)], precision)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def overlaid(self, rows: int, given: mx.array) -> mx.array:
        """The recorded rows, of which there are so many, and behind them those that are given; all decoded."""
        self._reserve(rows + -(-given.shape[2] // SPARE) * SPARE)
        total = rows + given.shape[2]
        for part, new in zip(self.parts, encoded(given, self.precision), strict=True):
            part[:, :, rows:total] = new
        return decoded([part[:, :, :total] for part in self.parts], self.precision, given.dtype)

    def _reserve(self, rows: int) -> None:
        """Makes room for so many rows."""
        for i, part in enumerate(self.parts):
            batch, heads, have, width = part.shape
            if have < rows:
                self.parts[i] = mx.concatenate([part, mx.zeros((batch, heads, rows - have, width), part.dtype)], axis=2)

    def laid(self, rows: int, count: int) -> list[mx.array]:
        """The rows that were laid behind the recorded ones, of which there are so many, as they are stored."""
        made = [mx.contiguous(part[:, :, rows : rows + count]) for part in self.parts]
        mx.eval(made)  # so that nothing but the record holds its arrays, and rows are written in place
        return made

    def exchange(self, rows: mx.array, put: list[mx.array]) -> list[mx.array]:
        """Stores rows, and returns those that were in their place."""
        before = [mx.contiguous(part[:, :, rows]) for part in self.parts]
        mx.eval(before)
        for part, new in zip(self.parts, put, strict=True):
            part[:, :, rows] = new
        mx.eval(self.parts)
        return before

    def bytes(self, rows: int) -> list[Bytes]:
        """The recorded rows as they are stored, a part after another."""
        return [raw(part[:, :, :rows]) for part in self.parts]


class _Mapped(_Stored):
    """The same in a file, of which attention reads a layer at a time; what is laid over it is in memory."""

    def __init__(self, parts: list[mx.array], precision: Codec, file: Bytes, rows: int):
        shapes = [(*part.shape[:2], rows, part.shape[3]) for part in parts]
        super().__init__([], precision)
        self._shapes, self._dtypes, self._file = shapes, [part.dtype for part in parts], file
        self._laid: list[mx.array] = []

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._laid)

    def _read(self) -> list[mx.array]:
        at, read = 0, []
        for shape, dtype in zip(self._shapes, self._dtypes, strict=True):
            nbytes = int(np.prod(shape)) * dtype.size
            read.append(of_raw(self._file[at : at + nbytes], shape, dtype))
            at += nbytes
        return read

    def overlaid(self, rows: int, given: mx.array) -> mx.array:
        self._laid = encoded(given, self.precision)
        whole = [mx.concatenate([part, new], axis=2) for part, new in zip(self._read(), self._laid, strict=True)]
        return decoded(whole, self.precision, given.dtype)

    def laid(self, rows: int, count: int) -> list[mx.array]:
        made, self._laid = self._laid, []
        return made

    def exchange(self, rows: mx.array, put: list[mx.array]) -> list[mx.array]:
        held, at = _Stored(self._read(), self.precision), 0
        before = held.exchange(rows, put)
        for part in held.bytes(self._shapes[0][2]):
            self._file[at : at + part.size] = part
            at += part.size
        return before

    def bytes(self, rows: int) -> list[Bytes]:
        return [raw(part) for part in self._read()]


def encoded(given: mx.array, precision: Codec) -> list[mx.array]:
    """Keys or values as they are stored."""
    if precision != "int8":
        return [given.astype(RECORD_PRECISIONS[precision])]
    exact = given.astype(mx.float32)
    largest = mx.abs(exact).max(axis=-1, keepdims=True)
    scale = mx.where(largest > 0, largest / LARGEST_CODE, 1).astype(mx.bfloat16)
    codes = mx.clip(mx.round(exact / scale.astype(mx.float32)), -LARGEST_CODE, LARGEST_CODE)
    return [codes.astype(mx.int8), scale]


def decoded(parts: list[mx.array], precision: Codec, dtype: mx.Dtype) -> mx.array:
    """What was stored; a view where it is stored as `dtype`."""
    if precision != "int8":
        return parts[0].astype(dtype)
    return (parts[0].astype(mx.float32) * parts[1].astype(mx.float32)).astype(dtype)


def raw(array: mx.array) -> Bytes:
    """The bytes of an array."""
    return np.asarray(mx.contiguous(array).view(mx.uint8)).reshape(-1)


def of_raw(data: Bytes, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
    """An array of bytes, which are copied."""
    return mx.array(data).view(dtype).reshape(shape)


@dataclass
class Replaced:
    """Rows of keys and values of one pass, as they are stored."""

    rows: mx.array
    parts: list[list[mx.array]]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for of in self.parts for part in of)


class KeyValueRecord:
    """Keys and values by place, in one precision."""

    def __init__(self, precision: Codec = "bfloat16"):
        if precision not in RECORD_PRECISIONS:
            raise SigeError(f"a record in {precision!r} is not known: take one of {', '.join(RECORD_PRECISIONS)}")
        self.precision = precision
        self._places: dict[Place, tuple[_Stored, _Stored]] = {}
        self._rows = 0
        self._file: MappedFile | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held, with spare rows."""
        return sum(self.kept)

    @property
    def kept(self) -> Kept:
        """Where its bytes are."""
        memory = sum(stored.nbytes for pair in self._places.values() for stored in pair)
        return Kept(memory, self._file.data.nbytes if self._file else 0)

    def put_on_disk(self, folder: Path) -> None:
        """Moves it into a file without a name in a folder. Raises `SigeError` when that cannot be written."""
        parts = [part for pair in self._places.values() for stored in pair for part in stored.bytes(self._rows)]
        self._file, at = MappedFile(np.concatenate(parts), folder), 0

        def mapped(stored: _Stored) -> _Stored:
            nonlocal at
            assert self._file
            start, at = at, at + sum(part.size for part in stored.bytes(self._rows))
            return _Mapped(stored.parts, self.precision, self._file.data[start:at], self._rows)

        for place, (keys, values) in self._places.items():
            self._places[place] = (mapped(keys), mapped(values))

    def bytes(self) -> dict[str, Bytes]:
        """All that is stored, by names."""
        return {
            f"{place.stream}.{place.layer}.{kind}.{i}": part
            for place, pair in self._places.items()
            for kind, stored in zip(("keys", "values"), pair, strict=True)
            for i, part in enumerate(stored.bytes(self._rows))
        }

    def restore(self, places: Sequence[Place], shape: tuple[int, int, int], read: Callable[[str], Bytes]) -> None:
        """Keeps what `bytes` gave of these places, by the `shape` that it had. Raises `SigeError` where it does not
        fit."""
        heads, self._rows, width = shape
        kinds = [(RECORD_PRECISIONS[self.precision], width)]
        kinds += [(mx.bfloat16, 1)] if self.precision == "int8" else []
        for place in places:
            pair = []
            for kind in ("keys", "values"):
                parts = []
                for i, (dtype, channels) in enumerate(kinds):
                    data = read(f"{place.stream}.{place.layer}.{kind}.{i}")
                    if data.size != heads * self._rows * channels * dtype.size:
                        raise SigeError(f"the {kind} of {place.stream} layer {place.layer} are not what was recorded")
                    parts.append(of_raw(data, (1, heads, self._rows, channels), dtype))
                pair.append(_Stored(parts, self.precision))
            self._places[place] = (pair[0], pair[1])

    @property
    def places(self) -> list[Place]:
        """Those that are kept."""
        return [*self._places]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Heads, rows and channels of a head."""
        pair = next(iter(self._places.values()))
        _, heads, _, width = pair[0].parts[0].shape
        return heads, self._rows, width

    def __len__(self) -> int:
        return len(self._places)

    def arrays(self, step: Hashable) -> list[mx.array]:
        """What is held of a step, to be evaluated."""
        return [part for place in self._places if place.step == step for part in self.at(place)]

    def at(self, place: Place) -> list[mx.array]:
        """What is held of one attention."""
        return [part for stored in self._places[place] for part in stored.parts]

    def keep(self, place: Place, keys: mx.array, values: mx.array) -> None:
        """Keeps the keys and values [B, heads, rows, head_dim] of a whole sequence, in place of what was kept."""
        if self._places and keys.shape[2] != self._rows:
            raise SigeError(
                f"a sequence of {keys.shape[2]} tokens was given to a record of {self._rows}: forget it first"
            )
        self._rows = keys.shape[2]
        self._places[place] = (_Stored.of(keys, self.precision), _Stored.of(values, self.precision))

    def overlay(self, place: Place, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Lays the keys and values of active tokens behind the recorded ones: those that attention reads, recorded rows
        first. `overlay_mask` leaves out the replaced."""
        if place not in self._places:
            raise SigeError(
                f"{place.stream} layer {place.layer} of step {place.step!r} was not recorded: record it first"
            )
        of_keys, of_values = self._places[place]
        return of_keys.overlaid(self._rows, keys), of_values.overlaid(self._rows, values)

    def commit(self, step: Hashable, active: ActiveTokens) -> Replaced:
        """Puts the rows that the last edit of a step laid over the record in place of those they replaced; returns
        these."""
        held = [stored for place, pair in self._places.items() if place.step == step for stored in pair]
        rows, count = mx.array(active.rows), active.rows.size
        return Replaced(rows, [stored.exchange(rows, stored.laid(self._rows, count)) for stored in held])

    def exchange(self, step: Hashable, put: Replaced) -> Replaced:
        """Puts rows back that were replaced; returns those that were there."""
        held = [stored for place, pair in self._places.items() if place.step == step for stored in pair]
        return Replaced(put.rows, [s.exchange(put.rows, of) for s, of in zip(held, put.parts, strict=True)])

    def forget(self) -> None:
        """Drops everything."""
        self._places.clear()


def overlay_mask(active: ActiveTokens) -> mx.array:
    """Which rows attention reads of a record with an overlay: bool [1, 1, 1, rows + active rows]."""
    total = active.text_count + active.image_count
    read = mx.ones((total + active.rows.size,), mx.bool_)
    read[mx.array(active.rows)] = False
    return read[None, None, None]
