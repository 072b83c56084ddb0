"""Tensors of a checkpoint: geometry over a storage that stays in the file until it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sige_mlx.converters.checkpoint.errors import CheckpointError

# PyTorch's name of a dtype -> how NumPy reads its bytes. NumPy has no bfloat16: its bits are read and widened below.
NUMPY_DTYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "|i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "|u1",
    "bool": "|b1", "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip

FLOATING = frozenset({"float64", "float32", "float16", "bfloat16"})

_MAX_DIMS = 32  # NumPy 1.x's limit
_MAX_ELEMENTS = 1 << 48
# A tensor expanded with stride 0 may claim any size over a few bytes; beyond this that is an attack or a mistake.
_MAX_EXPANDED_ELEMENTS = 1 << 20


def itemsize(dtype: str) -> int:
    """Bytes of one element of the PyTorch dtype named `dtype`."""
    return np.dtype(NUMPY_DTYPES[dtype]).itemsize


@dataclass(frozen=True, eq=False)
class Storage:
    """`nbytes` raw bytes that one or more tensors view. `dtype` is None for PyTorch's untyped storages."""

    nbytes: int
    dtype: str | None
    read: Callable[[], bytes | memoryview] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage; offset and strides count elements, as in PyTorch. Make one with `view`."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def numpy(self) -> np.ndarray:
        """The values as a read-only view of the file; bfloat16 comes as a float32 copy, which holds it exactly.

        Raises `CheckpointError` for a small storage expanded (stride 0) to an unreasonable size.
        """
        size, whole = itemsize(self.dtype), self.storage.nbytes
        elements = math.prod(self.shape)
        if elements > max(whole // size, _MAX_EXPANDED_ELEMENTS):
            raise CheckpointError(
                f"a tensor of shape {self.shape} is expanded over {whole} bytes: save it with .contiguous()"
            )
        # The strides of axes of length 1 are arbitrary; they are dropped so that none can overflow.
        strides = tuple(size * s if n > 1 else 0 for n, s in zip(self.shape, self.strides, strict=True))
        dtype = np.dtype(NUMPY_DTYPES[self.dtype])
        if elements == 0:
            return np.empty(self.shape, np.float32 if self.dtype == "bfloat16" else dtype)
        values: np.ndarray = np.ndarray(self.shape, dtype, self.storage.read(), self.offset * size, strides)
        values.flags.writeable = False
        if self.dtype != "bfloat16":
            return values
        bits: np.ndarray = values.astype("<u4")
        bits <<= 16
        widened: np.ndarray = bits.view("<f4")
        return widened


def view(storage: Storage, dtype: str, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """A tensor over `storage`, once every element is known to lie inside it; raises `CheckpointError` otherwise."""
    shape, strides = _checked(shape), tuple(strides)
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in (offset, *strides)):
        raise CheckpointError("a tensor has a malformed shape, stride or offset")
    if 0 not in shape:
        end = offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if end * itemsize(dtype) > storage.nbytes:
            raise CheckpointError(f"a tensor of shape {shape} reaches outside its storage of {storage.nbytes} bytes")
    return Tensor(storage, dtype, shape, strides, offset)


def packed(shape: Sequence[int], fortran: bool = False) -> tuple[int, ...]:
    """Strides, in elements, of an array that is packed in C's order or in Fortran's; raises `CheckpointError` for a
    shape that no tensor has."""
    shape = _checked(shape)
    return tuple(math.prod(shape[:axis] if fortran else shape[axis + 1 :]) for axis in range(len(shape)))


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape before anything is computed with it: a file may give a million axes, or numbers of a thousand digits."""
    if len(shape) > _MAX_DIMS or not all(type(n) is int and n >= 0 for n in shape):
        raise CheckpointError("a tensor has a malformed shape, stride or offset")
    if math.prod(max(n, 1) for n in shape) > _MAX_ELEMENTS:
        raise CheckpointError("a tensor claims more elements than any file holds")
    return tuple(shape)
