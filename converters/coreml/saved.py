"""Saved packages, read without coremltools: the protobuf of an ML Program and its file of weights.

Field numbers are those of `Model.proto` and `MIL.proto` of Core ML's specification. Nothing of a file is executed, and
what does not fit is one sentence.
"""

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sige_mlx.converters.coreml.calls import ABOUT
from sige_mlx.errors import SigeError

DTYPES = {
    1: "bool", 2: "str", 10: "float16", 11: "float32", 21: "int8", 22: "int16", 23: "int32", 31: "uint8", 32: "uint16",
}  # fmt: skip
"""Names of NumPy's types by the numbers of MIL's."""

SUFFIX = ".mlpackage"

_MODEL = "com.apple.CoreML/model.mlmodel"
_LARGEST = 1 << 28  # bytes of a program without its weights
SENTINEL, ARRAY = 0xDEADBEEF, "<IIQQ"
"""How what a file of weights says of an array begins; that, its type, its bytes, and where they begin."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Type(NamedTuple):
    """Type and shape of a variable; a state holds an array of these."""

    dtype: str
    shape: tuple[int, ...]
    state: bool = False


@dataclass(frozen=True)
class Operation:
    """Inputs are names of variables or, where the program holds them, arrays; several where it takes several."""

    kind: str
    inputs: dict[str, list[Any]]
    outputs: dict[str, Type]


@dataclass(frozen=True)
class Function:
    """`constants` are arrays by the names of variables."""

    inputs: dict[str, Type]
    operations: list[Operation]
    outputs: list[str]
    constants: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Saved:
    """`about` is what sige-mlx says of the package."""

    version: int
    functions: dict[str, Function]
    about: dict[str, Any]


def read(path: Path) -> Saved:
    """Returns what a package, NAME.mlpackage, holds; of a folder of packages, what all of them do, by their names.
    Raises `SigeError` for files that are none, or damaged."""
    apart = sorted(path.glob(f"*{SUFFIX}")) if path.suffix != SUFFIX else []
    if apart:
        parts = {part.stem: read(part) for part in apart}
        functions = {name: of for name, part in parts.items() for of in part.functions.values()}
        last = parts[apart[-1].stem]
        return Saved(last.version, functions, last.about)
    try:
        model = _model(path)
        if model.stat().st_size > _LARGEST:
            raise SigeError(f"{path}: its program takes more than {_LARGEST >> 20} MB")
        weights = _Weights(model.parent)
        return _read(memoryview(model.read_bytes()), weights)
    except OSError as error:
        why = error.strerror or "it cannot be opened"
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, StopIteration, struct.error) as error:
        why = f"it is damaged, or none ({error or type(error).__name__})"
    raise SigeError(f"{path} cannot be read as a package for Core ML: {why}")


def _model(path: Path) -> Path:
    manifest = json.loads((path / "Manifest.json").read_text("utf-8"))
    items, root = manifest["itemInfoEntries"], manifest["rootModelIdentifier"]
    model = (path / "Data" / items[root]["path"]).resolve()
    if not model.is_relative_to((path / "Data").resolve()):
        raise ValueError(f"its model is outside of it: it would be in Data/{_MODEL}")
    return model


def _read(data: memoryview, weights: "_Weights") -> Saved:
    version, functions, about = 0, {}, {}
    for number, value in _fields(data):
        if number == 1:
            version = value
        elif number == 2:
            about = _about(value)
        elif number == 502:
            functions = {
                name: _function(of, weights) for n, entry in _fields(value) if n == 2 for name, of in [_entry(entry)]
            }
    if not functions:
        raise ValueError("it holds no ML Program")
    return Saved(version, functions, about)


def _about(description: memoryview) -> dict[str, Any]:
    for number, value in _fields(description):
        if number == 100:
            entries = dict(_entry(entry) for n, entry in _fields(value) if n == 100)
            if ABOUT in entries:
                told = json.loads(bytes(entries[ABOUT]))
                return told if isinstance(told, dict) else {}
    return {}


# ---- programs


def _function(data: memoryview, weights: "_Weights") -> Function:
    inputs: dict[str, Type] = {}
    block = memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            name, kind = _named(value)
            inputs[name] = kind
        elif number == 3:
            block = _entry(value)[1]
    operations, outputs, constants = [], [], {}
    for number, value in _fields(block):
        if number == 2:
            outputs.append(_text(value))
        elif number == 3:
            operation, held = _operation(value, weights)
            if operation.kind == "const":
                constants[next(iter(operation.outputs))] = held
            else:
                operations.append(operation)
    return Function(inputs, operations, outputs, constants)


def _operation(data: memoryview, weights: "_Weights") -> tuple[Operation, Any]:
    kind, held = "", None
    inputs: dict[str, list[Any]] = {}
    outputs: dict[str, Type] = {}
    for number, value in _fields(data):
        if number == 1:
            kind = _text(value)
        elif number == 2:
            name, argument = _entry(value)
            inputs[name] = [
                _text(v) if n == 1 else _value(v, weights)
                for m, binding in _fields(argument)
                if m == 1
                for n, v in _fields(binding)
            ]
        elif number == 3:
            name, of = _named(value)
            outputs[name] = of
        elif number == 5:
            name, attribute = _entry(value)
            if name == "val":
                held = _value(attribute, weights)
    return Operation(kind, inputs, outputs), held


def _named(data: memoryview) -> tuple[str, Type]:
    name, kind = "", None
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        else:
            kind = _type(value)
    if kind is None:
        raise ValueError(f"{name} has no type")
    return name, kind


def _type(data: memoryview) -> Type:
    for number, value in _fields(data):
        if number == 5:  # a state wraps a type
            return _type(next(v for n, v in _fields(value) if n == 1))._replace(state=True)
        if number == 1:
            dtype, shape = "", []
            for n, v in _fields(value):
                if n == 1:
                    dtype = DTYPES[v]
                elif n == 3:
                    shape.append(_dimension(v))
            return Type(dtype, tuple(shape))
    raise ValueError("a variable is no array")


def _dimension(data: memoryview) -> int:
    for number, value in _fields(data):
        if number == 1:
            return next((v for n, v in _fields(value) if n == 1), 0)
    raise ValueError("a dimension is not known beforehand")


def _value(data: memoryview, weights: "_Weights") -> Any:
    """Returns an array; of words, one word."""
    kind, found = None, None
    for number, value in _fields(data):
        if number == 2:
            kind = _type(value)
        elif number in (3, 5):
            found = number, value
    assert kind is not None and found is not None
    number, value = found
    if number == 5:
        offset = next((v for n, v in _fields(value) if n == 2), 0)
        return weights.array(offset, kind)
    tensor = next(v for n, v in _fields(value) if n == 1)
    for n, v in _fields(tensor):
        values = [x for m, x in _fields(v) if m == 1]
        if n == 4:
            return _text(values[0]) if values else ""
        if n == 7:  # small types are bytes
            array = np.frombuffer(values[0] if values else b"", kind.dtype)
        elif n in (1, 6):
            packed = b"".join(bytes(x) for x in values if not isinstance(x, int | float))
            loose = [x for x in values if isinstance(x, float)]
            array = np.array(loose) if loose else np.frombuffer(packed, np.float32 if n == 1 else np.float64)
        else:
            whole = [i for x in values for i in ([x] if isinstance(x, int) else _varints(x))]
            array = np.array(whole, np.uint64).view(np.int64)
        if not array.size and kind.shape == ():
            array = np.zeros(1)
        return array.astype(kind.dtype).reshape(kind.shape)
    return np.zeros(kind.shape, kind.dtype)


class _Weights:
    """The arrays that a package keeps apart from its program."""

    def __init__(self, folder: Path):
        self._path = folder / "weights" / "weight.bin"
        self._data: mmap.mmap | None = None

    def array(self, offset: int, kind: Type) -> Any:
        """Returns the array whose description is at an offset."""
        if self._data is None:
            with self._path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sentinel, _, nbytes, at = struct.unpack_from(ARRAY, self._data, offset)
        count = int(np.prod(kind.shape, dtype=np.int64))
        if sentinel != SENTINEL or nbytes != count * np.dtype(kind.dtype).itemsize:
            raise ValueError(f"its weights hold no {kind.dtype} {kind.shape} at {offset}")
        return np.frombuffer(self._data, kind.dtype, count, at).reshape(kind.shape)


# ---- protobuf's wire format


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yields the fields of a message: a number, and an integer, a float or bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("it ends too early")
            yield number, data[at : at + size]
            at += size
        elif wire in (_FIXED32, _FIXED64):
            form, size = ("<f", 4) if wire == _FIXED32 else ("<d", 8)
            yield number, struct.unpack_from(form, data, at)[0]
            at += size
        else:
            raise ValueError(f"field {number} is of no known kind")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has too many bytes")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _entry(data: memoryview) -> tuple[str, memoryview]:
    """Returns key and value of an entry of a map."""
    found = dict(_fields(data))
    return _text(found.get(1, b"")), found.get(2, memoryview(b""))


def _text(data: Any) -> str:
    return bytes(data).decode("utf-8")
