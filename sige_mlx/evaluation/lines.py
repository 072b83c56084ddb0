"""Files of results, a JSON object in each line: the settings of the run first, then a picture each. They grow by whole
lines, so whatever kills a run leaves what was finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sige_mlx.errors import SigeError, first_line

FORMAT = 1
KIND = "sige-mlx evaluate"
"""What the first line begins with: the format of the file."""

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
            found.setdefault(int(line["case"]), line)
    return found


class Lines:
    """A file of results that is gone on with, or begun. Raises `SigeError` as `read_lines` does, and where it cannot be
    written."""

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            begun = path.is_file() and _whole(path, settings)
            self._file = open(path, "r+b" if path.exists() else "xb")  # noqa: SIM115, closed by `close`
            whole = path.read_bytes().rfind(b"\n") + 1 if begun else 0
            self._file.truncate(whole)  # what a killed run left of a line
            self._file.seek(whole)
        except OSError as error:
            raise SigeError(f"{path} cannot be written: {error.strerror}") from None
        if not begun:
            self.add({KIND: FORMAT, "fingerprint": fingerprint(settings), "settings": dict(settings)})

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line, on the disk when this returns. Raises `SigeError` where it cannot be."""
        try:
            self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._file.flush()
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
        if parsed[0].get(KIND) != FORMAT or not all(isinstance(line["case"], int) for line in parsed[1:]):
            raise SigeError(f"{path} is no file of results that this version reads: give another --out")
        if parsed[0]["fingerprint"] != fingerprint(settings):
            differing = _differing(parsed[0]["settings"], settings)
            raise SigeError(f"{path} was begun with other settings ({differing}): give another --out, or these")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SigeError):
            raise
        raise SigeError(f"{path} is damaged: {first_line(error)}; give another --out") from None
    return parsed


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    names: Iterable[str] = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    return "; ".join(f"{n}: {shown(old.get(n))[:60]}, not {shown(new.get(n))[:60]}" for n in names)
