"""The few classes and functions of PyTorch's pickles that mean something here, as pure data."""

from __future__ import annotations

from typing import Any

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Dict, Global, Latin1, LongText, Placeholder, hashable
from sige_mlx.converters.checkpoint.tensor import NUMPY_DTYPES, Storage, Tensor, itemsize, view

# `torch.FloatStorage` and its kin, as they have been named since 2017 -> dtype.
_STORAGE_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": None,
}  # fmt: skip


def storage_dtype(kind: object) -> str | None:
    """The dtype of the storage class `kind`, None if it is untyped; raises `CheckpointError` for no storage class."""
    if not isinstance(kind, Global) or kind.module not in {"torch", "torch.cuda", "torch.storage"}:
        raise CheckpointError("a storage has no storage class")
    if kind.name not in _STORAGE_DTYPES:
        raise CheckpointError(f"its tensors are kept in a {kind}, which is not supported")
    return _STORAGE_DTYPES[kind.name]


def storage_size(kind: object, count: object) -> tuple[str | None, int]:
    """(dtype, bytes) of a storage of `count` elements of the class `kind`."""
    dtype = storage_dtype(kind)
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise CheckpointError("a storage has a malformed size")
    return dtype, count * (itemsize(dtype) if dtype else 1)


def call(function: Global, args: tuple[Any, ...]) -> object:
    """The value of `function(*args)` where it is known and harmless, else NotImplemented."""
    match (function.module, function.name), args:
        case ("torch._utils", "_rebuild_tensor"), (Storage() as storage, offset, tuple(shape), tuple(strides)):
            return view(storage, _typed(storage), offset, shape, strides)
        case (
            ("torch._utils", "_rebuild_tensor_v2"),
            (Storage() as storage, offset, tuple(shape), tuple(strides), _, _, *metadata),
        ) if not any(metadata):  # metadata marks conjugated and negated views, whose bytes are not their values
            return view(storage, _typed(storage), offset, shape, strides)
        case (
            ("torch._utils", "_rebuild_tensor_v3"),
            (Storage() as storage, offset, tuple(shape), tuple(strides), _, _, Global("torch", dtype), *metadata),
        ) if dtype in NUMPY_DTYPES and not any(metadata):
            return view(storage, dtype, offset, shape, strides)
        case (
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"),
            (Tensor() | Placeholder() as inner, *_),
        ):
            return inner  # whatever kind of tensor it is
        case ("torch._tensor", "_rebuild_from_type_v2"), (Global(module="torch._utils") as rebuild, _, tuple(inner), _):
            return call(rebuild, inner)
        case ("torch", "Size"), (tuple(shape),):
            return shape
        case ("collections", "OrderedDict"), ():
            return Dict()
        case ("collections", "OrderedDict"), (list(pairs),) if all(map(_is_pair, pairs)):
            return Dict((hashable(key), value) for key, value in pairs)
        case ("collections", "defaultdict"), _:
            return Dict()
        case ("builtins" | "__builtin__", "set"), (list(values),):
            return set(map(hashable, values))
        case ("builtins" | "__builtin__", "bytes"), ():
            return b""
        case ("_codecs", "encode"), (str(text), "latin1"):  # how protocol 2 writes bytes
            return text.encode("latin1", "replace")
        case ("_codecs", "encode"), (LongText() as long, "latin1"):
            return Latin1(long)
    return NotImplemented


def _typed(storage: Storage) -> str:
    if storage.dtype is None:
        raise CheckpointError("a tensor over an untyped storage has no dtype")
    return storage.dtype


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2
