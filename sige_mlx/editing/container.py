"""Files of plain arrays, in the format of safetensors: written whole or not at all, mapped into memory when they are
read, with a checksum of every array. Files may come from anywhere: nothing in them is executed."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from sige_mlx.editing.destination import write_whole
from sige_mlx.errors import SigeError, first_line

Array = npt.NDArray[Any]

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I32": "<i4", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}
"""NumPy's names of the format's types."""

VERSION = 2
ALIGNMENT = 64
MAX_HEADER = 100 << 20
"""Bytes; the library's own limit."""


class Container:
    """The arrays of a file by name, and what is told of them. `purpose` says in sentences what the file should be.
    Raises `SigeError` for a file that is none, and for one of another version."""

    def __init__(self, path: str | os.PathLike[str], purpose: str):
        self.path = Path(path)
        wrong = f"{path} cannot be read as {purpose}: "
        try:
            if self.path.exists() and not self.path.is_file():
                raise SigeError(f"{wrong}it is no regular file")
            with safe_open(self.path, framework="numpy"):  # it checks the header and all bounds
                pass
            length, header = _header(self.path)
            self._bytes = np.asarray(np.memmap(self.path, np.uint8, "c"))[8 + length :]
        except OSError as error:
            raise SigeError(f"{wrong}{error.strerror or first_line(error)}") from error
        except (SafetensorError, ValueError, struct.error) as error:
            if isinstance(error, SigeError):
                raise
            raise SigeError(f"{wrong}it is a file of something else, or damaged ({first_line(error)})") from error
        metadata = header.pop("__metadata__", None) or {}
        told = metadata.get("told", "")
        if metadata.get("is") != purpose or metadata.get("checksum") != str(zlib.crc32(told.encode())):
            raise SigeError(f"{wrong}it is a file of something else, or damaged")
        if metadata.get("version") != str(VERSION):
            version = metadata.get("version")
            raise SigeError(f"{wrong}it has version {version}, and this sige-mlx reads version {VERSION}")
        try:
            self.told: dict[str, Any] = json.loads(told)
            self._sums = dict[str, int](self.told["checksums"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SigeError(f"{wrong}it does not tell what is in it") from error
        self._header: dict[str, Any] = header

    def __contains__(self, name: str) -> bool:
        return name in self._header

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return int(self._bytes.nbytes)

    def array(self, name: str) -> Array:
        """An array, its pages private: what is written to them stays in memory. Raises `SigeError` for one that is not
        there or damaged."""
        told = self._header.get(name)
        if told is None or told["dtype"] not in DTYPES:
            raise SigeError(f"{self.path}: {name} is missing or of an unknown type")
        first, last = told["data_offsets"]
        raw = self._bytes[first:last]
        if zlib.crc32(raw.data) != self._sums.get(name):
            raise SigeError(f"{self.path} is damaged: {name} is not what was written")
        return raw.view(DTYPES[told["dtype"]]).reshape(told["shape"])


def claims(path: Path, purpose: str) -> bool:
    """Whether a file begins as those of a purpose do, whatever is behind that: it may be damaged, or end too early."""
    try:
        return path.is_file() and _header(path)[1]["__metadata__"]["is"] == purpose
    except (OSError, ValueError, KeyError, TypeError, RecursionError, struct.error):
        return False


def write(path: str | os.PathLike[str], purpose: str, arrays: Mapping[str, Array], told: Mapping[str, Any]) -> None:
    """Writes a file that `Container` reads, of C-contiguous arrays. Raises `SigeError` when it cannot be written; then
    the one that was there is there still."""
    types = {np.dtype(name): dtype for dtype, name in DTYPES.items()}
    ordered = sorted(
        arrays, key=lambda name: -min(arrays[name].nbytes & -arrays[name].nbytes, ALIGNMENT)
    )  # to be aligned
    header: dict[str, Any] = {}
    checksums, at = {}, 0
    for name in ordered:
        array = arrays[name]
        header[name] = {
            "dtype": types[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        checksums[name] = zlib.crc32(_raw(array))
        at += array.nbytes
    text = json.dumps({**told, "checksums": checksums})
    header["__metadata__"] = {
        "is": purpose,
        "version": str(VERSION),
        "told": text,
        "checksum": str(zlib.crc32(text.encode())),
    }
    head = json.dumps(header).encode()
    head += b" " * (-(len(head) + 8) % ALIGNMENT)

    def into(file: IO[bytes]) -> None:
        file.write(struct.pack("<Q", len(head)) + head)
        for name in ordered:
            file.write(_raw(arrays[name]))

    write_whole(path, into)


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """The length of the header, and what is in it."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return length, json.loads(file.read(min(length, MAX_HEADER)))


def _raw(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
