"""Zip archives: the ones zipfile and PyTorch write, and the ones somebody bent."""

from __future__ import annotations

import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from sige_mlx.converters.checkpoint import CheckpointError, zip_archive
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.zip_archive import ZipArchive

CONTENT = {"a/data.pkl": b"N.", "a/data/0": bytes(range(200)) * 10, "a/ünï": b"", "a/data/1": b"\0" * 5000}


def make(path: Path, compression: int = zipfile.ZIP_STORED) -> bytearray:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    return bytearray(path.read_bytes())


def opened(path: Path, data: bytes | bytearray | None = None) -> ZipArchive:
    if data is not None:
        path.write_bytes(data)
    return ZipArchive(map_file(path))


def refused(path: Path, data: bytes | bytearray) -> str:
    with pytest.raises(CheckpointError) as caught:
        opened(path, data)
    return str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_content(compression: int, tmp_path: Path) -> None:
    make(tmp_path / "a.zip", compression)
    archive = opened(tmp_path / "a.zip")
    assert {name: bytes(archive.read(name)) for name in archive.entries} == CONTENT
    assert {name: bytes(archive.read(name)) for name in reversed(archive.entries)} == dict(reversed(CONTENT.items()))


def test_stored_content_is_mapped(tmp_path: Path) -> None:
    make(tmp_path / "a.zip")
    view = opened(tmp_path / "a.zip").read("a/data/0")
    assert isinstance(view, memoryview)
    assert isinstance(view.obj, mmap.mmap)


class Unseekable:
    """A file zipfile cannot go back in."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.flush = file.flush


def test_sizes_after_the_data_and_zip64_fields(tmp_path: Path) -> None:
    """Two ways to write sizes: in 64 bits, and behind the data, as PyTorch's own writer does."""
    path = tmp_path / "a.zip"
    with (
        path.open("wb") as file,
        zipfile.ZipFile(cast(BinaryIO, Unseekable(file)), "w") as archive,
        archive.open("a/data.pkl", "w", force_zip64=True) as entry,
    ):
        entry.write(b"content")
    assert bytes(opened(path).read("a/data.pkl")) == b"content"


def test_zip64_directory(tmp_path: Path) -> None:
    """Offsets and counts that saturate are read from the zip64 records."""
    path = tmp_path / "a.zip"
    data = make(path)
    end = data.rfind(b"PK\5\6")
    count, length, offset = struct.unpack_from("<H2L", data, end + 10)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    saturated = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    archive = opened(path, data[:end] + wide + locator + saturated)
    assert bytes(archive.read("a/data/0")) == CONTENT["a/data/0"]


def patch(
    data: bytearray, field: int, layout: str, value: int, *, signature: bytes = b"PK\1\2", which: int = 1
) -> bytes:
    """`data` with a field of its `which`-th central (or local) header set."""
    position = -1
    for _ in range(which + 1):
        position = data.find(signature, position + 1)
    struct.pack_into(layout, data, position + field, value)
    return bytes(data)


LOCAL, END = b"PK\3\4", b"PK\5\6"
BENT: dict[str, tuple[str, Callable[[bytearray], bytes]]] = {
    "entry beyond the file": ("points outside", lambda d: patch(d, 42, "<L", 1 << 30)),
    "entry at a wrong place": ("is damaged", lambda d: patch(d, 42, "<L", 3)),
    "entry on another": ("disagree", lambda d: patch(d, 42, "<L", 0)),
    "longer in the directory": ("disagree", lambda d: patch(d, 24, "<L", 4000)),
    "another method": ("disagree", lambda d: patch(d, 10, "<H", 8)),
    "another name": ("disagree", lambda d: patch(d, 46, "<B", ord("b"))),
    "shorter in the header": ("disagree", lambda d: patch(d, 18, "<L", 5, signature=LOCAL)),
    "name beyond the directory": ("is damaged", lambda d: patch(d, 28, "<H", 60000, which=3)),
    "directory beyond the file": ("points outside", lambda d: patch(d, 12, "<L", 1 << 20, signature=END, which=0)),
    "directory at a wrong place": ("is damaged", lambda d: patch(d, 16, "<L", 1, signature=END, which=0)),
    "too many entries": ("points outside", lambda d: patch(d, 10, "<H", 9, signature=END, which=0)),
    "content behind the end": ("does not end", lambda d: bytes(d) + b"\0"),
    "comment beyond the end": ("does not end", lambda d: patch(d, 20, "<H", 9, signature=END, which=0)),
    "no directory": ("is missing", lambda d: bytes(d[:1000])),
}


@pytest.mark.parametrize("name", BENT)
def test_bent_archives(name: str, tmp_path: Path) -> None:
    complaint, bend = BENT[name]
    assert complaint in refused(tmp_path / "a.zip", bend(make(tmp_path / "a.zip")))


def test_names_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert "lists 'a' twice" in refused(path, path.read_bytes())


def test_overlapping_entries(tmp_path: Path) -> None:
    """A compressed entry that reaches over the next one: how bombs of a small file are built."""
    path = tmp_path / "a.zip"
    data = make(path, zipfile.ZIP_DEFLATED)
    for signature, field in ((b"PK\1\2", 20), (LOCAL, 18)):
        patch(data, field, "<L", 60, signature=signature, which=0)
    assert "overlap" in refused(path, bytes(data))


def test_encrypted_and_unknown_compression(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    assert "encrypted" in refused(path, patch(make(path), 8, "<H", 1))
    make(path, zipfile.ZIP_BZIP2)
    assert "not supported" in refused(path, path.read_bytes())


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "_FREE_INFLATION", 0)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * 1_000_000)
    assert "a zip bomb" in refused(path, path.read_bytes())


def test_entries_that_inflate_to_more_or_less_than_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for size in (4999, 5001, 0):
        data = make(path, zipfile.ZIP_DEFLATED)
        for signature, field in ((b"PK\1\2", 24), (LOCAL, 22)):
            patch(data, field, "<L", size, signature=signature, which=3)
        with pytest.raises(CheckpointError, match="entry is damaged"):
            opened(path, data).read("a/data/1")


def test_damaged_compressed_data(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    data = make(path, zipfile.ZIP_DEFLATED)
    start = opened(path).entries["a/data/1"].start
    data[start] ^= 0xFF
    with pytest.raises(CheckpointError, match="entry is damaged"):
        opened(path, data).read("a/data/1")
    data = make(path, zipfile.ZIP_DEFLATED)
    for signature, field in ((b"PK\1\2", 16), (LOCAL, 14)):
        patch(data, field, "<L", 1, signature=signature, which=3)
    with pytest.raises(CheckpointError, match="entry is damaged"):  # the checksum is another's
        opened(path, data).read("a/data/1")


def test_directory_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "_MAX_ENTRIES", 3)
    assert "lists 4 entries" in refused(tmp_path / "a.zip", make(tmp_path / "a.zip"))


def test_a_stored_entry_whose_bytes_are_others(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    data = make(path)
    data[opened(path).entries["a/data/0"].start + 7] ^= 1
    archive = opened(path, data)
    assert bytes(archive.read("a/data/1")) == CONTENT["a/data/1"]  # only what is read is looked at
    for _ in range(2):
        with pytest.raises(CheckpointError, match="its part 'a/data/0' is damaged, for its checksum is that of other"):
            archive.read("a/data/0")


def test_archives_without_checksums(tmp_path: Path) -> None:
    """PyTorch can be told to write none: then no entry has one, and nothing can be told of any."""
    path = tmp_path / "a.zip"
    data = make(path)
    for i in range(len(CONTENT)):
        for signature, field in ((b"PK\1\2", 16), (LOCAL, 14)):
            patch(data, field, "<L", 0, signature=signature, which=i)
    data[opened(path).entries["a/data/0"].start] ^= 1
    assert bytes(opened(path, data).read("a/data/0"))[1:] == CONTENT["a/data/0"][1:]
