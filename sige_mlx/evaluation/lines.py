"""Files of results, a JSON object in each line: the settings of the run first, then a picture each. They grow by whole
lines, so whatever kills a run leaves what was finished, and each has a checksum of what it says."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sige_mlx import scratch
from sige_mlx.errors import SigeError, first_line

FORMAT = 2
KIND = "sige-mlx evaluate"
"""What the first line begins with: the format of the file."""

SUM = "crc32"
"""The name of a line's checksum: that of the line without it."""

PATTERN = "lines-*.jsonl"


def lines_file(folder: Path, rank: int) -> Path:
    """Where a rank writes."""
    return folder / PATTERN.replace("*", str(rank))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """The SHA-256 of settings that JSON can hold."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_lines(folder: Path, settings: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The results in all files of a folder by the numbers of their cases. A torn last line is none. Raises `SigeError`
    for files that were begun with other settings, and for what is no such file."""
    found: dict[int, dict[str, Any]] = {}
    for path in sorted(folder.glob(PATTERN)):
        for line in _whole(path, settings)[1:]:
            found.setdefault(line["case"], line)
    return found


class Lines:
    """A file of results that is gone on with, or begun, and that no other process writes meanwhile. Raises `SigeError`
    as `read_lines` does, where another one does, and where it cannot be written."""

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if not scratch.locked(path, descriptor, wait=False):
                raise SigeError(f"{path} was removed while it was opened: run the same again")
        except BlockingIOError:
            raise SigeError(f"{path} is written by another run: wait for its end, or give another --out") from None
        except OSError as error:
            raise SigeError(f"{path} cannot be written: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            begun = _whole(path, settings)
            whole = path.read_bytes().rfind(b"\n") + 1 if begun else 0
            self._file.truncate(whole)  # what a killed run left of a line
            self._file.seek(whole)
            if not begun:
                self.add({KIND: FORMAT, "fingerprint": fingerprint(settings), "settings": dict(settings)})
        except BaseException:
            self.close()
            raise

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line, on the disk when this returns. Raises `SigeError` where it cannot be."""
        try:
            text = json.dumps({**line, SUM: _sum(line)}, allow_nan=False).encode() + b"\n"
            if self._file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SigeError(f"{self.path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _whole(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The whole lines of a file, settings and results; none where it has no whole line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SigeError(f"{path} cannot be read: {error.strerror}") from None
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        parsed = [json.loads(line) for line in lines]
        if not parsed:
            return []
        if parsed[0].get(KIND) != FORMAT:
            raise SigeError(f"{path} is no file of results that this version reads: give another --out")
        for number, line in enumerate(parsed, 1):
            if line.pop(SUM) != _sum(line):
                raise ValueError(f"line {number} is not as it was written")
        if parsed[0]["fingerprint"] != fingerprint(settings):
            differing = _differing(parsed[0]["settings"], settings)
            raise SigeError(f"{path} was begun with other settings ({differing}): give another --out, or these")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SigeError):
            raise
        raise SigeError(f"{path} is damaged: {first_line(error)}; give another --out") from None
    return parsed


def _sum(line: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(line).encode())


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    names: Iterable[str] = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    return "; ".join(f"{n}: {shown(old.get(n))[:60]}, not {shown(new.get(n))[:60]}" for n in names)
