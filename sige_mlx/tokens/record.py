"""Keys and values of recorded passes, by step, stream and layer, and the rows that an edit lays over them.

The arrays of a place have spare rows behind those of the sequence. An edit writes its keys and values there, which MLX
does in place while nobody else holds the array, and attention masks out the rows that they replace. So an edit never
copies a record that is stored as attention reads it, and never writes to a recorded row; int8 is decoded for one layer
at a time. A commit moves the spare rows to the places of those they replace.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import ActiveTokens

RECORD_PRECISIONS = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16, "int8": mx.int8}
"""What keys and values are stored in, by name. int8 has a scale in bfloat16 for each head of each token."""

SPARE = 64
"""Spare rows are allocated by so many at a time: strokes of about one size share arrays and compiled kernels."""

LARGEST_CODE = 127


def row_nbytes(precision: str, heads: int, head_dim: int) -> int:
    """Bytes that the keys and values of one token take in one layer."""
    size = RECORD_PRECISIONS[precision].size
    return 2 * heads * (head_dim * size + (mx.bfloat16.size if precision == "int8" else 0))


@dataclass(frozen=True)
class Place:
    """One attention of one pass."""

    step: Hashable
    stream: str
    layer: int


class _Stored:
    """Keys, or values: codes [B, heads, rows, head_dim], and scales [B, heads, rows, 1] where there are any."""

    def __init__(self, given: mx.array, precision: str):
        self.precision = precision
        # Made contiguous they are arrays of their own: a view would keep alive the wide projection they were cut from.
        self.parts = [mx.contiguous(part) for part in self._encoded(given)]

    def _encoded(self, given: mx.array) -> list[mx.array]:
        if self.precision != "int8":
            return [given.astype(RECORD_PRECISIONS[self.precision])]
        exact = given.astype(mx.float32)
        largest = mx.abs(exact).max(axis=-1, keepdims=True)
        scale = mx.where(largest > 0, largest / LARGEST_CODE, 1).astype(mx.bfloat16)
        codes = mx.clip(mx.round(exact / scale.astype(mx.float32)), -LARGEST_CODE, LARGEST_CODE)
        return [codes.astype(mx.int8), scale]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def reserve(self, rows: int) -> None:
        """Makes room for so many rows."""
        for i, part in enumerate(self.parts):
            batch, heads, have, width = part.shape
            if have < rows:
                self.parts[i] = mx.concatenate([part, mx.zeros((batch, heads, rows - have, width), part.dtype)], axis=2)

    def write(self, start: int, given: mx.array) -> None:
        """Stores rows from `start` on."""
        for part, new in zip(self.parts, self._encoded(given), strict=True):
            part[:, :, start : start + given.shape[2]] = new

    def read(self, rows: int, dtype: mx.Dtype) -> mx.array:
        """The first rows, decoded; a view where they are stored as `dtype`."""
        codes = self.parts[0][:, :, :rows]
        if self.precision != "int8":
            return codes.astype(dtype)
        return (codes.astype(mx.float32) * self.parts[1][:, :, :rows].astype(mx.float32)).astype(dtype)

    def move(self, start: int, to: mx.array) -> None:
        """Moves the rows from `start` on to those that `to` names."""
        for part in self.parts:
            moved = mx.contiguous(part[:, :, start : start + to.size])
            mx.eval(moved)  # so that nothing but the record holds `part`, and the rows are written in place
            part[:, :, to] = moved
            mx.eval(part)


class KeyValueRecord:
    """Keys and values by place, in one precision."""

    def __init__(self, precision: str = "bfloat16"):
        if precision not in RECORD_PRECISIONS:
            raise SigeError(f"a record in {precision!r} is not known: take one of {', '.join(RECORD_PRECISIONS)}")
        self.precision = precision
        self._places: dict[Place, tuple[_Stored, _Stored]] = {}
        self._rows = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, with spare rows."""
        return sum(stored.nbytes for pair in self._places.values() for stored in pair)

    def __len__(self) -> int:
        return len(self._places)

    def arrays(self, step: Hashable) -> list[mx.array]:
        """What is held of a step, to be evaluated."""
        held = [pair for place, pair in self._places.items() if place.step == step]
        return [part for pair in held for stored in pair for part in stored.parts]

    def keep(self, place: Place, keys: mx.array, values: mx.array) -> None:
        """Keeps the keys and values [B, heads, rows, head_dim] of a whole sequence, in place of what was kept."""
        if self._places and keys.shape[2] != self._rows:
            raise SigeError(
                f"a sequence of {keys.shape[2]} tokens was given to a record of {self._rows}: forget it first"
            )
        self._rows = keys.shape[2]
        self._places[place] = (_Stored(keys, self.precision), _Stored(values, self.precision))

    def overlay(self, place: Place, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Lays the keys and values of active tokens behind the recorded ones: those that attention reads, recorded rows
        first. `overlay_mask` leaves out the replaced."""
        if place not in self._places:
            raise SigeError(
                f"{place.stream} layer {place.layer} of step {place.step!r} was not recorded: record it first"
            )
        total = self._rows + keys.shape[2]
        read = []
        for stored, new in zip(self._places[place], (keys, values), strict=True):
            stored.reserve(self._rows + -(-keys.shape[2] // SPARE) * SPARE)
            stored.write(self._rows, new)
            read.append(stored.read(total, new.dtype))
        return read[0], read[1]

    def commit(self, step: Hashable, active: ActiveTokens) -> None:
        """Puts the rows that the last edit of a step laid over the record in place of those they replaced."""
        rows = mx.array(active.rows)
        for place, pair in self._places.items():
            if place.step == step:
                for stored in pair:
                    stored.move(self._rows, rows)

    def forget(self) -> None:
        """Drops everything."""
        self._places.clear()


def overlay_mask(active: ActiveTokens) -> mx.array:
    """Which rows attention reads of a record with an overlay: bool [1, 1, 1, rows + active rows]."""
    total = active.text_count + active.image_count
    read = mx.ones((total + active.rows.size,), mx.bool_)
    read[mx.array(active.rows)] = False
    return read[None, None, None]
