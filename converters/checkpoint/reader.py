"""Reading the files torch.save writes: the zip format and the one before PyTorch 1.6."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sige_mlx.converters.checkpoint import sniff, torch_types
from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Global
from sige_mlx.converters.checkpoint.tensor import Storage, itemsize
from sige_mlx.converters.checkpoint.unpickle import Data, Machine
from sige_mlx.converters.checkpoint.zip_archive import ZipArchive

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class Checkpoint:
    """The object a PyTorch file holds, built of plain data, `Tensor`, `Storage`, `Dict`, `Global` and `Placeholder`.

    `placeholders` names the classes and functions the file asked for that were replaced by placeholders.
    """

    path: Path
    root: object = field(repr=False)
    placeholders: tuple[str, ...]


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file torch.save wrote, without PyTorch, without running anything in it, and without loading its tensors.

    Tensors are views of the mapped file, so it must not change while they are used. Raises `CheckpointError` for
    anything else: a missing, truncated, damaged or hostile file, TorchScript, big-endian data, another format.
    """
    path = Path(path)
    data = map_file(path)
    unknown: dict[str, None] = {}
    try:
        root = _read_zip(data, unknown) if data[:4] == b"PK\3\4" else _read_legacy(data, unknown)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Checkpoint(path, root, tuple(unknown))


def map_file(path: Path) -> mmap.mmap:
    """A read-only map of a regular, non-empty file; raises `CheckpointError` for anything else."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{path}: is a folder; give the checkpoint file in it")
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            raise CheckpointError(f"{path}: is empty or no regular file")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None


def _unpickle(
    data: Data, position: int, unknown: dict[str, None], outside: Any, end: int | None = None
) -> tuple[Any, int]:
    """The object pickled at `position` and where its pickle ends; `outside` gives the storages that it refers to."""

    def persistent(identifier: object) -> object:
        match identifier:
            case ("module", Global() as module, *_):  # its class and source text, before PyTorch 1.6
                return module
        return outside(identifier)

    machine = Machine(data, position, torch_types.call, persistent, unknown, end)
    return machine.load(), machine.position


def _storage_id(identifier: object) -> tuple[str, str | None, int, list[Any]]:
    """(key, dtype, bytes, rest) of a persistent id `("storage", class, key, device, count, ...)`."""
    match identifier:
        case ("storage", kind, str(key), _, count, *rest):
            return key, *torch_types.storage_size(kind, count), rest
    raise CheckpointError("its pickle refers to something outside it that is no storage")


def _read_zip(data: mmap.mmap, unknown: dict[str, None]) -> object:
    archive = ZipArchive(data)
    roots = [name.removesuffix("data.pkl") for name in archive.entries if name.rpartition("/")[2] == "data.pkl"]
    if len(roots) != 1:
        raise CheckpointError(f"it is a zip archive but no PyTorch checkpoint{sniff.packed(archive.entries)}")
    root = roots[0]
    if root + "constants.pkl" in archive.entries:
        raise CheckpointError("it is a TorchScript archive: load it with torch.jit.load and save its state_dict()")
    byteorder = root + "byteorder"
    if byteorder in archive.entries and bytes(archive.read(byteorder)) != b"little":
        raise CheckpointError("it was saved on a big-endian machine, which is not supported")
    storages: dict[str, Storage] = {}

    def persistent(identifier: object) -> Storage:
        key, dtype, nbytes, _ = _storage_id(identifier)
        name = f"{root}data/{key}"
        if name not in storages:
            if name not in archive.entries:
                raise CheckpointError(f"its tensors refer to a storage {key[:80]!r} that is not in the file")
            if archive.entries[name].size < nbytes:
                raise CheckpointError(f"its storage {key[:80]!r} is shorter than the {nbytes} bytes announced")
            storages[name] = Storage(nbytes, dtype, partial(archive.read, name))
        elif (storages[name].dtype, storages[name].nbytes) != (dtype, nbytes):
            raise CheckpointError(f"its storage {key[:80]!r} is described in two ways")
        return storages[name]

    pickle = archive.entries[root + "data.pkl"]
    content = archive.read(root + "data.pkl")
    if isinstance(content, memoryview):
        return _unpickle(data, pickle.start, unknown, persistent, pickle.stop)[0]
    return _unpickle(content, 0, unknown, persistent)[0]


def _read_legacy(data: mmap.mmap, unknown: dict[str, None]) -> object:
    """Five pickles (magic, protocol, system, object, storage keys), then each storage's element count and bytes."""
    if data[: len(sniff.OLD_MAGIC)] == sniff.OLD_MAGIC:
        raise CheckpointError("its pickle is of protocol 0 or 1: save it with torch.save's own protocol")
    if meaning := sniff.describe(data[: sniff.HEAD]):
        raise CheckpointError(f"it is {meaning}")
    if data[:1] != b"\x80":  # how a pickle begins
        raise CheckpointError("it is no PyTorch checkpoint")
    magic, position = _unpickle(data, 0, {}, _no_storage)
    if magic != _LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but torch.save did not write it")
    protocol, position = _unpickle(data, position, {}, _no_storage)
    system, position = _unpickle(data, position, {}, _no_storage)
    if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
        raise CheckpointError("it was written by an unknown version of torch.save")
    if system.get("little_endian") is not True:
        raise CheckpointError("it was saved on a big-endian machine, which is not supported")
    storages = _LegacyStorages(data)
    root, position = _unpickle(data, position, unknown, storages.persistent)
    keys, position = _unpickle(data, position, {}, _no_storage)
    storages.locate(keys, position)
    return root


def _no_storage(_: object) -> object:
    raise CheckpointError("its header refers to storages")


class _LegacyStorages:
    """The storages of a legacy file, which follow the pickle that refers to them."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._described: dict[str, tuple[str | None, int]] = {}
        self._positions: dict[str, int] = {}
        self._made: dict[tuple[str, int, int], Storage] = {}

    def persistent(self, identifier: object) -> Storage:
        key, dtype, nbytes, rest = _storage_id(identifier)
        if self._described.setdefault(key, (dtype, nbytes)) != (dtype, nbytes):
            raise CheckpointError(f"its storage {key[:80]!r} is described in two ways")
        match rest:
            case [] | [None]:
                start, length = 0, nbytes
            case [(str(), int(first), int(count))] if first >= 0 and count >= 0:  # a part of a storage, in elements
                size = itemsize(dtype) if dtype else 1
                start, length = first * size, count * size
            case _:
                raise CheckpointError("its pickle describes a part of a storage in an unknown way")
        if start + length > nbytes:
            raise CheckpointError(f"a part of its storage {key[:80]!r} reaches outside it")
        part = (key, start, length)
        if part not in self._made:
            self._made[part] = Storage(length, dtype, partial(self._read, *part))
        return self._made[part]

    def locate(self, keys: object, position: int) -> None:
        """Find the storages `keys`, which lie one after the other from `position`."""
        texts = [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []
        if sorted(texts) != sorted(self._described):
            raise CheckpointError("its list of storages does not fit its tensors: the file is damaged")
        for key in texts:
            dtype, nbytes = self._described[key]
            count = int.from_bytes(self._data[position : position + 8], "little")
            position += 8
            if position + nbytes > len(self._data):
                raise CheckpointError("it ends before its last tensor: truncated, perhaps an incomplete download")
            if count * (itemsize(dtype) if dtype else 1) != nbytes:
                raise CheckpointError(f"its storage {key[:80]!r} has {count} elements instead of those announced")
            self._positions[key] = position
            position += nbytes

    def _read(self, key: str, start: int, length: int) -> memoryview:
        first = self._positions[key] + start
        return memoryview(self._data)[first : first + length]
