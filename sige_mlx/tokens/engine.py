"""Passes of a transformer over a whole sequence, recorded, and over its active tokens alone.

The transformer is anyone's: it must compute the tokens that it is given and no others, and ask a `Pass` in every
attention, after positions were put into queries and keys, which keys and values there are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx

from sige_mlx.engine.recordings import Codec, RecordedStep, Recordings
from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.record import KeyValueRecord, Place, Replaced, overlay_mask


class Pass(Protocol):
    """What the attentions of one pass ask."""

    mask: mx.array | None
    """Which keys attention reads, bool and broadcast over queries; None where it reads all."""

    def seen(self, stream: str, layer: int, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Keys and values [B, heads, tokens, head_dim] that attention reads, by those of the tokens of this pass."""


class Transformer(Protocol):
    """A network over text and image tokens with positions of their own."""

    def __call__(self, image: mx.array, text: mx.array, time: float, active: ActiveTokens, attention: Pass) -> mx.array:
        """What it says of active image tokens: [B, A, channels] of the active rows of image [B, A, C] and text
        [B, T, E], which stand at the places that `active` says."""


class _Dense:
    mask: mx.array | None = None

    def seen(self, stream: str, layer: int, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values


@dataclass
class _Recording:
    record: KeyValueRecord
    step: Hashable
    mask: mx.array | None = None

    def seen(self, stream: str, layer: int, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        place = Place(self.step, stream, layer)
        self.record.keep(place, keys, values)
        # At once: else the wide projections of all layers, from which keys and values are cut, are alive at the end.
        mx.eval(self.record.at(place))
        return keys, values


@dataclass
class _Editing:
    record: KeyValueRecord
    step: Hashable
    complete: bool
    mask: mx.array | None

    def seen(self, stream: str, layer: int, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        overlaid = self.record.overlay(Place(self.step, stream, layer), keys, values)
        # Where all are replaced, attention is the dense pass's to the bit.
        return (keys, values) if self.complete else overlaid


class Kept:
    """Where recordings of tokens are: in memory or in files, in one of some precisions, the most exact first.
    `step_nbytes` says what a pass keeps in one."""

    on_disk = True

    def __init__(self, codecs: tuple[Codec, ...], step_nbytes: Callable[[Codec], int] | None = None):
        self.codecs, self._step_nbytes = codecs, step_nbytes

    def record_nbytes(self, codec: Codec) -> int:
        """Bytes that recording one step keeps, nothing where nobody said."""
        return self._step_nbytes(codec) if self._step_nbytes else 0

    def put_on_disk(self, record: KeyValueRecord, folder: Any) -> None:
        record.put_on_disk(folder)

    def holds(self, nbytes: int) -> None:
        """MLX's own allocator has it."""


class TokenEngine:
    """Records passes of a transformer, step by step, and edits them. A record is kept in one `precision`; or in the
    first of several that memory has room for, see `Recordings`, which are the engine's own. `step_nbytes` says what a
    pass keeps in one of them."""

    def __init__(
        self,
        transformer: Transformer,
        precision: str | Sequence[str] = "bfloat16",
        step_nbytes: Callable[[Codec], int] | None = None,
    ):
        self._transformer = transformer
        offered = [precision] if isinstance(precision, str) else [*precision]
        codecs = tuple(KeyValueRecord(name).precision for name in offered)  # type: ignore[arg-type]
        self.recordings = Recordings(Kept(codecs, step_nbytes))
        self._edited: dict[Hashable, ActiveTokens] = {}
        self._rows: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values that are held."""
        return self.recordings.nbytes

    def record(self, step: Hashable, image: mx.array, text: mx.array, time: float) -> mx.array:
        """The dense pass of all image tokens [B, N, C] and text tokens [B, T, E], whose keys and values are kept."""
        rows = text.shape[1] + image.shape[1]
        if self._rows not in (None, rows) and self.recordings.nbytes:
            raise SigeError(f"a sequence of {rows} tokens was given to a record of {self._rows}: forget it first")
        everything = ActiveTokens.everything(text.shape[1], image.shape[1])
        # A recording that is interrupted leaves layers of two pictures: it is none.
        self.recordings.forget(step)
        self._edited.pop(step, None)
        record = KeyValueRecord(self.recordings.codec)
        output = self._transformer(image, text, time, everything, _Recording(record, step))
        mx.eval(output, record.arrays(step))
        self.keep(step, record, rows)
        return output

    def dense(self, image: mx.array, text: mx.array, time: float) -> mx.array:
        """The same pass; nothing is kept."""
        everything = ActiveTokens.everything(text.shape[1], image.shape[1])
        return self._transformer(image, text, time, everything, _Dense())

    def recorded(self, step: Hashable) -> bool:
        """Whether a step is recorded."""
        return step in self.recordings

    def keep(self, step: Hashable, record: KeyValueRecord, rows: int) -> None:
        """Keeps a record of so many tokens for a step. Raises `SigeError` when it fits neither memory nor disk."""
        self._rows = rows
        self.recordings.keep(step, RecordedStep(record, {}))

    def of(self, step: Hashable) -> KeyValueRecord:
        """The record of a step; raises `SigeError` when there is none."""
        record: KeyValueRecord = self.recordings.of(step).record
        return record

    def edit(self, step: Hashable, image: mx.array, text: mx.array, time: float, active: ActiveTokens) -> mx.array:
        """The pass of the active image tokens [B, A, C] and active text tokens [B, T, E] alone: [B, A, channels].

        Other tokens are as recorded, in every layer. Nothing that was recorded changes before `commit`.
        """
        record = self.of(step)
        given, expected = (text.shape[1], image.shape[1]), (active.text.size, active.image.size)
        if given != expected:
            raise SigeError(
                f"{given[0]} text and {given[1]} image tokens were given, and {expected[0]} and {expected[1]} are"
                " active: give the rows that are"
            )
        if active.empty:
            raise SigeError("no image token is active: the output is what was recorded")
        mask = None if active.complete else overlay_mask(active)
        self._edited.pop(step, None)  # an edit that is interrupted cannot be committed
        attention = _Editing(record, step, active.complete, mask)
        output = self._transformer(image, text, time, active, attention)
        # Keys and values of the last layer are not all read for the output: they are evaluated for a commit.
        mx.eval(output, record.arrays(step))
        self._edited[step] = active
        return output

    def commit(self) -> dict[Hashable, Replaced]:
        """Makes the last edit of every step what is recorded of it; returns what it replaced, for `exchange`."""
        with self._whole():
            return {step: self.of(step).commit(step, self._edited.pop(step)) for step in [*self._edited]}

    def revert(self) -> None:
        """Forgets the last edits, which cannot be committed any more."""
        self._edited.clear()

    def exchange(self, replaced: Mapping[Hashable, Replaced]) -> dict[Hashable, Replaced]:
        """Puts back what a commit replaced; returns what that replaces, which does the commit again."""
        self._edited.clear()
        with self._whole():
            return {step: self.of(step).exchange(step, put) for step, put in replaced.items()}

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Forgets all records where only some came to another original: they are of two pictures."""
        try:
            yield
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        """Drops everything that was recorded."""
        self.recordings.forget()
        self._edited.clear()
