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

from sige_mlx.engine.files import MappedFile
from sige_mlx.engine.recordings import Codec, Kept
from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.stored import RECORD_PRECISIONS, Bytes, Mapped, Stored, of_raw


@dataclass(frozen=True)
class Place:
    """One attention of one pass."""

    step: Hashable
    stream: str
    layer: int


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
        self._places: dict[Place, tuple[Stored, Stored]] = {}
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
        held = [stored for pair in self._places.values() for stored in pair]
        ends = np.cumsum([stored.recorded_nbytes(self._rows) for stored in held])
        parts = (part for stored in held for part in stored.bytes(self._rows))
        self._file = MappedFile(parts, int(ends[-1]), folder)
        data = iter(np.split(self._file.data, ends[:-1]))
        for place, pair in self._places.items():
            keys, values = (Mapped(stored.parts, self.precision, next(data), self._rows) for stored in pair)
            self._places[place] = (keys, values)

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
                pair.append(Stored(parts, self.precision))
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
        self._places[place] = (Stored.of(keys, self.precision), Stored.of(values, self.precision))

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
