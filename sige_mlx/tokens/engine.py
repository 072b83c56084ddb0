"""Passes of a transformer over a whole sequence, recorded, and over its active tokens alone.

The transformer is anyone's: it must compute the tokens that it is given and no others, and ask a `Pass` in every
attention, after positions were put into queries and keys, which keys and values there are.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.record import KeyValueRecord, Place, overlay_mask


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


@dataclass
class _Recording:
    record: KeyValueRecord
    step: Hashable
    mask: mx.array | None = None

    def seen(self, stream: str, layer: int, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.record.keep(Place(self.step, stream, layer), keys, values)
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


class TokenEngine:
    """Records passes of a transformer, step by step, and edits them."""

    def __init__(self, transformer: Transformer, precision: str = "bfloat16"):
        self._transformer = transformer
        self.record_of_tokens = KeyValueRecord(precision)
        self._recorded: set[Hashable] = set()
        self._edited: dict[Hashable, ActiveTokens] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values that are held."""
        return self.record_of_tokens.nbytes

    def record(self, step: Hashable, image: mx.array, text: mx.array, time: float) -> mx.array:
        """The dense pass of all image tokens [B, N, C] and text tokens [B, T, E], whose keys and values are kept."""
        everything = ActiveTokens(range(text.shape[1]), range(image.shape[1]), text.shape[1], image.shape[1])
        # A recording that is interrupted leaves layers of two pictures: it is none.
        self._recorded.discard(step)
        self._edited.pop(step, None)
        output = self._transformer(image, text, time, everything, _Recording(self.record_of_tokens, step))
        mx.eval(output, self.record_of_tokens.arrays(step))
        self._recorded.add(step)
        return output

    def edit(self, step: Hashable, image: mx.array, text: mx.array, time: float, active: ActiveTokens) -> mx.array:
        """The pass of the active image tokens [B, A, C] and active text tokens [B, T, E] alone: [B, A, channels].

        Other tokens are as recorded, in every layer. Nothing that was recorded changes before `commit`.
        """
        if step not in self._recorded:
            raise SigeError(f"step {step!r} was not recorded: call record({step!r}, …) on the original first")
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
        attention = _Editing(self.record_of_tokens, step, active.complete, mask)
        output = self._transformer(image, text, time, active, attention)
        # Keys and values of the last layer are not all read for the output: they are evaluated for a commit.
        mx.eval(output, self.record_of_tokens.arrays(step))
        self._edited[step] = active
        return output

    def commit(self) -> None:
        """Makes the last edit of every step what is recorded of it."""
        for step in [*self._edited]:
            self.record_of_tokens.commit(step, self._edited.pop(step))

    def forget(self) -> None:
        """Drops everything that was recorded."""
        self.record_of_tokens.forget()
        self._recorded.clear()
        self._edited.clear()
