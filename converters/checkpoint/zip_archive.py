"""The zip archives torch.save writes, mapped rather than read.

`zipfile` neither maps stored entries nor bounds what a directory makes it allocate, and it refuses archives that
PyTorch wrote without checksums. Every number of the directory is checked against the file and the local headers.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from sige_mlx.converters.checkpoint.errors import CheckpointError

_END = struct.Struct("<4s4H2LH")  # signature, disks, entries, size and offset of the directory, comment length
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_LIMIT16, _LIMIT32 = 0xFFFF, 0xFFFFFFFF
_MAX_ENTRIES = 1 << 17
# Compressed weights hardly shrink; what inflates beyond this is a bomb.
_MAX_RATIO = 16
_FREE_INFLATION = 1 << 26
_SMALL = 1 << 16  # bytes of an entry that tells whether the archive has checksums


class _Central(NamedTuple):
    """An entry as the directory describes it, without the signature."""

    version: int
    version_needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    compressed: int
    size: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    external: int
    header: int


class _Local(NamedTuple):
    """An entry as the header before its data describes it, without the signature."""

    version_needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    compressed: int
    size: int
    name_length: int
    extra_length: int


@dataclass(frozen=True)
class Entry:
    """Where an entry's bytes are and how many they become."""

    method: int
    header: int
    start: int
    stop: int
    size: int
    crc: int


class ZipArchive:
    """The entries of the zip file mapped as `data`, by name; raises `CheckpointError` if it is damaged or hostile."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._inflated: tuple[str, bytes] = ("", b"")
        self._sound: set[str] = set()  # stored entries whose checksum is right
        self.entries = self._directory()
        inflation = sum(e.size for e in self.entries.values() if e.method == _DEFLATED)
        if inflation > _MAX_RATIO * len(data) + _FREE_INFLATION:
            raise CheckpointError(f"its compressed entries would inflate to {inflation} bytes: a zip bomb")

    def read(self, name: str) -> bytes | memoryview:
        """The content of an entry: a view of the file if it is stored, as torch.save does, else inflated. Raises
        `CheckpointError` where its checksum is another's; reading it for that takes a second per gigabyte, once."""
        entry = self.entries[name]
        raw = memoryview(self._data)[entry.start : entry.stop]
        if entry.method == _STORED:
            if self._has_checksums and name not in self._sound and zlib.crc32(raw) != entry.crc:
                raise CheckpointError(
                    f"its part {name[:80]!r} is damaged, for its checksum is that of other bytes: download it again"
                )
            self._sound.add(name)
            return raw
        if self._inflated[0] != name:  # tensors sharing a storage ask for it one after the other
            self._inflated = (name, _inflate(raw, entry))
        return self._inflated[1]

    @cached_property
    def _has_checksums(self) -> bool:
        """Whether stored entries have checksums. PyTorch can be told not to write any: then no small entry has one."""
        small = [e for e in self.entries.values() if e.method == _STORED and 0 < e.size <= _SMALL]
        return any(zlib.crc32(memoryview(self._data)[e.start : e.stop]) == e.crc for e in small)

    def _unpack(self, layout: struct.Struct, position: int, signature: bytes) -> tuple[int, ...]:
        if not 0 <= position <= len(self._data) - layout.size:
            raise CheckpointError("its zip directory points outside the file")
        found, *fields = layout.unpack_from(self._data, position)
        if found != signature:
            raise CheckpointError("its zip directory is damaged")
        return tuple(fields)

    def _directory_span(self) -> tuple[int, int, int]:
        """(offset, end, number of entries) of the directory."""
        size = len(self._data)
        position = self._data.rfind(b"PK\5\6", max(0, size - _END.size - _LIMIT16))
        if position < 0 or position + _END.size > size:
            raise CheckpointError("its zip directory is missing: the file is truncated, perhaps an incomplete download")
        _, _, _, count, length, offset, comment_length = self._unpack(_END, position, b"PK\5\6")
        if position + _END.size + comment_length != size:
            raise CheckpointError("its zip directory does not end with the file: the file is damaged")
        locator = position - _LOCATOR64.size
        if locator >= 0 and self._data[locator : locator + 4] == b"PK\6\7":
            _, position, _ = self._unpack(_LOCATOR64, locator, b"PK\6\7")
            *_, count, length, offset = self._unpack(_END64, position, b"PK\6\6")
        if offset + length > position:
            raise CheckpointError("its zip directory points outside the file")
        if count > _MAX_ENTRIES:
            raise CheckpointError(f"its zip directory lists {count} entries; a checkpoint has a few thousand")
        return offset, offset + length, count

    def _directory(self) -> dict[str, Entry]:
        """The directory's entries by name, each agreeing with its local header and overlapping no other."""
        directory, end, count = self._directory_span()
        position = directory
        entries: dict[str, Entry] = {}
        for _ in range(count):
            central = _Central(*self._unpack(_CENTRAL, position, b"PK\1\2"))
            name_start = position + _CENTRAL.size
            extra_start = name_start + central.name_length
            position = extra_start + central.extra_length + central.comment_length
            if position > end:
                raise CheckpointError("its zip directory is damaged")
            raw_name = self._data[name_start:extra_start]
            central = _widen(central, self._data[extra_start : extra_start + central.extra_length])
            name = raw_name.decode("utf-8", "backslashreplace")
            if name in entries:
                raise CheckpointError(f"its zip directory lists {name[:80]!r} twice")
            entries[name] = self._entry(central, raw_name)
        spans = sorted((entry.header, entry.stop) for entry in entries.values())
        for (_, stop), (begin, _) in pairwise([*spans, (directory, directory)]):
            if stop > begin:
                raise CheckpointError("its zip entries overlap: the file is damaged")
        return entries

    def _entry(self, central: _Central, name: bytes) -> Entry:
        """The entry the directory describes as `central`, once its local header agrees."""
        local = _Local(*self._unpack(_LOCAL, central.header, b"PK\3\4"))
        name_start = central.header + _LOCAL.size
        start = name_start + local.name_length + local.extra_length
        agrees = local.method == central.method and self._data[name_start : name_start + local.name_length] == name
        sizes = (local.compressed, local.size)
        if not (central.flags | local.flags) & _SIZES_FOLLOW and _LIMIT32 not in sizes:
            agrees = agrees and sizes == (central.compressed, central.size)
        if not agrees:
            raise CheckpointError("its zip directory and an entry's header disagree: the file is damaged")
        if central.flags & _ENCRYPTED:
            raise CheckpointError("it is an encrypted zip archive: decrypt it first")
        stored = central.method == _STORED and central.size == central.compressed
        if not stored and central.method != _DEFLATED:
            raise CheckpointError("its zip entries are compressed in a way that is not supported")
        return Entry(central.method, central.header, start, start + central.compressed, central.size, central.crc)


def _widen(central: _Central, extra: bytes) -> _Central:
    """`central` with the numbers that do not fit 32 bits read from the zip64 field of `extra`."""
    wide: list[int] = []
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            wide = [n for (n,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
        position += 4 + length
    saturated = [name for name in ("size", "compressed", "header") if getattr(central, name) == _LIMIT32]
    return central._replace(**dict(zip(saturated, wide, strict=False)))


def _inflate(raw: memoryview, entry: Entry) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(raw, entry.size + 1)  # one byte more than announced: a limit of 0 means none
    except zlib.error:
        content = b""
    if len(content) != entry.size or not inflater.eof or zlib.crc32(content) != entry.crc:
        raise CheckpointError("a compressed zip entry is damaged")
    return content
