"""Writes files as torch.save does, without PyTorch: pickles of any protocol-2 content, and both container formats."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_CLASSES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


@dataclass(frozen=True)
class Name:
    """A class or function by its name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call of `function`, followed by the items and the state set on its result."""

    function: object
    args: tuple[object, ...] = ()
    items: tuple[tuple[object, object], ...] = ()
    state: object = None


@dataclass(frozen=True)
class Persistent:
    """An object kept outside the pickle."""

    identifier: object


def dumps(value: object) -> bytes:
    """`value` as a pickle of protocol 2."""
    return b"\x80\x02" + _emit(value) + b"."


def _emit(value: object) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(raw)]) + raw
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            raw = value.encode()
            return b"X" + struct.pack("<I", len(raw)) + raw
        case tuple():
            return b"(" + b"".join(map(_emit, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_emit, value)) + b"e"
        case dict():
            return b"}" + _emit_items(tuple(value.items()))
        case Name(module, name):
            return b"c" + f"{module}\n{name}\n".encode()
        case Persistent(identifier):
            return _emit(identifier) + b"Q"
        case Call(function, args, items, state):
            filled = _emit_items(items) if items else b""
            built = b"" if state is None else _emit(state) + b"b"
            return _emit(function) + _emit(args) + b"R" + filled + built
    raise TypeError(type(value))


def _emit_items(items: tuple[tuple[object, object], ...]) -> bytes:
    return b"(" + b"".join(_emit(key) + _emit(value) for key, value in items) + b"u"


def storage(key: str, kind: str, count: int) -> Persistent:
    """A reference to the storage `key` of `count` elements of the class torch.{kind}Storage."""
    return Persistent(("storage", Name("torch", f"{kind}Storage"), key, "cpu", count))


def legacy(reference: Persistent, part: tuple[str, int, int] | None = None) -> Persistent:
    """`reference` as the legacy format has it, with the part of the storage it stands for."""
    assert isinstance(reference.identifier, tuple)
    return Persistent((*reference.identifier, part))


def rebuild(reference: Persistent, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Call:
    """A tensor over a storage."""
    hooks = Call(Name("collections", "OrderedDict"))
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), (reference, offset, shape, strides, False, hooks))


def ordered(items: Mapping[str, object], metadata: object = None) -> Call:
    """An OrderedDict, with a state dict's `_metadata` attribute if given."""
    state = None if metadata is None else {"_metadata": metadata}
    return Call(Name("collections", "OrderedDict"), (), tuple(items.items()), state)


def state_dict(
    arrays: Mapping[str, np.ndarray], in_legacy: bool = False, first: int = 0
) -> tuple[Call, dict[str, bytes]]:
    """(object, storages) for `arrays`, each in a storage of its own, numbered from `first`."""
    tensors: dict[str, object] = {}
    storages = {}
    for key, (name, array) in enumerate(arrays.items(), first):
        reference = storage(str(key), STORAGE_CLASSES[array.dtype.str[1:]], array.size)
        strides = tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides) if array.ndim else ()
        tensors[name] = rebuild(legacy(reference) if in_legacy else reference, array.shape, strides)
        storages[str(key)] = array.tobytes()
    return ordered(tensors, {"": {"version": 1}}), storages


def write_zip(
    path: Path,
    root: object,
    storages: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    records: Mapping[str, bytes] = {"byteorder": b"little", "version": b"3\n"},
) -> Path:
    """The format since PyTorch 1.6. `root` may be a ready pickle."""
    pickle = root if isinstance(root, bytes) else dumps(root)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def write_legacy(
    path: Path,
    root: object,
    storages: Mapping[str, tuple[int, bytes]],
    *,
    magic: int = LEGACY_MAGIC,
    protocol: int = 1001,
    little_endian: bool = True,
) -> Path:
    """The format before PyTorch 1.6; `storages` gives the element count and the bytes of each."""
    system = {
        "protocol_version": protocol,
        "little_endian": little_endian,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    pickle = root if isinstance(root, bytes) else dumps(root)
    header = dumps(magic) + dumps(protocol) + dumps(system) + pickle + dumps(list(storages))
    path.write_bytes(header + b"".join(struct.pack("<q", count) + raw for count, raw in storages.values()))
    return path


def save(path: Path, arrays: Mapping[str, np.ndarray], form: str = "zip") -> Path:
    """A plain state dict in the format `form`: "zip", "deflated" or "legacy"."""
    root, storages = state_dict(arrays, in_legacy=form == "legacy")
    if form == "legacy":
        counted = {key: (array.size, raw) for (key, raw), array in zip(storages.items(), arrays.values(), strict=True)}
        return write_legacy(path, root, counted)
    return write_zip(
        path, root, storages, compression=zipfile.ZIP_DEFLATED if form == "deflated" else zipfile.ZIP_STORED
    )
