"""Keys, or values, of one attention as they are kept: in memory or in a file, in one of some precisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.recordings import Codec

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


Bytes = npt.NDArray[np.uint8]


class Stored:
    """Keys, or values: codes [B, heads, rows, head_dim], and scales [B, heads, rows, 1] where there are any."""

    def __init__(self, parts: list[mx.array], precision: Codec):
        self.precision, self.parts = precision, parts

    @classmethod
    def of(cls, given: mx.array, precision: Codec) -> Stored:
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

    def recorded_nbytes(self, rows: int) -> int:
        """Bytes of the recorded rows, without spare ones."""
        return sum(part[:, :, :rows].nbytes for part in self.parts)

    def bytes(self, rows: int) -> Iterator[Bytes]:
        """The recorded rows as they are stored, a part after another."""
        for part in self.parts:
            yield raw(part[:, :, :rows])


class Mapped(Stored):
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
        held, at = Stored(self._read(), self.precision), 0
        before = held.exchange(rows, put)
        for part in held.bytes(self._shapes[0][2]):
            self._file[at : at + part.size] = part
            at += part.size
        return before

    def bytes(self, rows: int) -> Iterator[Bytes]:
        for part in self._read():
            yield raw(part)


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
