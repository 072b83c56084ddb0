"""NumPy arrays in a checkpoint's pickle: what the inert objects that stand for one say of its type, shape and bytes."""

from __future__ import annotations

import math
from functools import partial

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Latin1, Placeholder
from sige_mlx.converters.checkpoint.tensor import NUMPY_DTYPES, Storage, Tensor, itemsize, packed, view

_DTYPES = {numpy[1:]: torch for torch, numpy in NUMPY_DTYPES.items() if torch != "bfloat16"}  # "f4" -> "float32"
_MODULES = ("numpy.core.", "numpy._core.")  # of NumPy 1 and of NumPy 2
_ARRAY = "multiarray._reconstruct"  # up to protocol 4
_BUFFER = "numeric._frombuffer"  # protocol 5

NAMES = ("numpy.dtype", "numpy.ndarray", *(module + name for module in _MODULES for name in (_ARRAY, _BUFFER)))
"""The classes and functions that arrays are pickled with."""


def array(value: object) -> Tensor | None:
    """The plain array of numbers that `value` stands for, as a view of the file; None for anything else. Raises
    `CheckpointError` for one whose bytes are not those of its shape."""
    match value:
        case Placeholder(name=name, state=(_, tuple(shape), dtype, bool(fortran), raw)) if _is(name, _ARRAY):
            pass
        case Placeholder(name=name, args=(raw, dtype, tuple(shape), str(order))) if _is(name, _BUFFER):
            fortran = order == "F"
        case _:
            return None
    kind = _numbers(dtype)
    if kind is None or not isinstance(raw, bytes | memoryview | Latin1):
        return None
    strides = packed(shape, fortran)
    nbytes = math.prod(shape) * itemsize(kind)
    shortest, longest = (len(raw.text.raw) // 2, len(raw.text.raw)) if isinstance(raw, Latin1) else (len(raw), len(raw))
    if not shortest <= nbytes <= longest:  # as text a byte takes one or two
        raise CheckpointError(f"a NumPy array of shape {shape} has not the {nbytes} bytes that it takes")
    return view(Storage(nbytes, kind, partial(_bytes, raw, nbytes)), kind, 0, shape, strides)


def is_array(value: object) -> bool:
    """Whether `value` stands for an array, of whatever it is."""
    return isinstance(value, Placeholder) and (_is(value.name, _ARRAY) or _is(value.name, _BUFFER))


def _is(name: str, function: str) -> bool:
    return any(name == module + function for module in _MODULES)


def _numbers(dtype: object) -> str | None:
    """PyTorch's name of a plain little-endian type of numbers; None for others, such as objects and records."""
    match dtype:
        case Placeholder(
            name="numpy.dtype", args=(str(kind), *_), state=(int(), "<" | "|" | "=", None, None, None, *_)
        ):
            return _DTYPES.get(kind)
    return None


def _bytes(raw: bytes | memoryview | Latin1, nbytes: int) -> bytes | memoryview:
    if not isinstance(raw, Latin1):
        return raw
    try:
        decoded = raw.decoded()
    except ValueError:
        decoded = b""
    if len(decoded) != nbytes:
        raise CheckpointError("a NumPy array's bytes are damaged")
    return decoded
