"""Edits to be judged: what was before, what is after, and the true picture where there is one."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError, first_line
from sige_mlx.pictures import ImageLike

TRUTH = "truth"
ROLES: Mapping[str, str] = {
    "original": "original",
    "labels": "original",
    "edited": "edited",
    "edited_labels": "edited",
    "mask": "mask",
    "masks": "mask",
    "instances": "instances",
    "edited_instances": "edited_instances",
    TRUTH: TRUTH,
    "gt": TRUTH,
}
"""Columns of a CSV file, or folders, and which part of a `Case` they hold; some have two names."""

SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".ppm", ".npy"])
"""Of files that hold pictures or maps."""


@dataclass(frozen=True)
class Case:
    """An edit: pictures (H, W, 3), or label maps, before and after it. A mask says what of a picture is edited where
    the difference does not; instances go with label maps. `truth` is what the edited one should look like."""

    name: str
    original: ImageLike
    edited: ImageLike
    mask: ImageLike | None = None
    instances: ImageLike | None = None
    edited_instances: ImageLike | None = None
    truth: ImageLike | None = None


class Cases(Protocol):
    """A sequence of cases, each made when it is asked for, and what tells it from others."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Case: ...

    @property
    def identity(self) -> str:
        """The same for the same cases, on every machine."""


@dataclass(frozen=True)
class Files:
    """Cases in files: the path of each part of each of them."""

    names: Sequence[str]
    parts: Sequence[Mapping[str, Path]]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Case:
        read: dict[str, Any] = {role: content(path) for role, path in self.parts[index].items()}
        return Case(self.names[index], **read)

    @property
    def identity(self) -> str:
        """Of names and contents."""
        of_cases = zip(self.names, self.parts, strict=True)
        return digest((name, role, path) for name, parts in of_cases for role, path in sorted(parts.items()))


def content(path: Path) -> ImageLike:
    """What a file holds: an array of an `.npy` file; of others, the path, which says more in sentences. Raises
    `SigeError` for an array that cannot be read."""
    if path.suffix.lower() != ".npy":
        return path
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise SigeError(f"{path} cannot be read as an array: {first_line(error)}") from None
    if not isinstance(array, np.ndarray):
        raise SigeError(f"{path} holds several arrays: one would be right")
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def checksum(path: Path) -> str:
    """The SHA-256 of a file. Raises `SigeError` where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SigeError(f"{path} cannot be read: {error.strerror}") from None


def digest(files: Iterable[tuple[str, str, Path]]) -> str:
    """The SHA-256 of files, by two names each, and of what is in them. Raises `SigeError` where one cannot be read."""
    found = hashlib.sha256()
    for one, other, path in files:
        found.update(f"{one}\0{other}\0{checksum(path)}\n".encode())
    return found.hexdigest()


def read_cases(path: Path) -> Files:
    """The cases of a CSV file, or of a folder whose folders `original`, `edited`, `mask`, `truth`, or `labels`,
    `edited_labels`, `instances`, `edited_instances`, `truth`, hold files of the same names. Raises `SigeError` where
    there are none, and where a part is missing."""
    return _of_folder(path) if path.is_dir() else _of_table(path)


def files_in(folder: Path) -> dict[str, Path]:
    """The pictures and maps in a folder by their names without extensions, in order. Raises `SigeError` where it cannot
    be read, or where two have one name."""
    try:
        paths = sorted(p for p in folder.iterdir() if _holds_one(p))
    except OSError as error:
        raise SigeError(f"{folder} cannot be read: {error.strerror}") from None
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise SigeError(f"{found[path.stem]} and {path} have one name: which of them is meant?")
        found[path.stem] = path
    return found


def _holds_one(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def part_folders(folder: Path) -> dict[str, Path]:
    """The folders in `folder` that hold parts of cases, by part."""
    found: dict[str, Path] = {}
    for name, role in ROLES.items():
        if (inner := folder / name).is_dir():
            if role in found:
                raise SigeError(f"{found[role]} and {inner} hold the same part of an edit: one of them is too many")
            found[role] = inner
    return found


def _of_folder(folder: Path) -> Files:
    folders = part_folders(folder)
    if not {"original", "edited"} <= folders.keys():
        raise SigeError(
            f"{folder} holds no edits: it should have folders 'original' and 'edited', or 'labels' and 'edited_labels',"
            " with files of the same names; give --synthesise N to make edits of the pictures in it"
        )
    found = {role: files_in(inner) for role, inner in folders.items()}
    names = list(found["original"])
    if not names:
        raise SigeError(f"{folders['original']} holds no pictures")
    parts = []
    for name in names:
        missing = [folders[role] for role in found if name not in found[role] and role != TRUTH]
        if missing:
            raise SigeError(f"{missing[0]} has no file for {found['original'][name].name}")
        parts.append({role: paths[name] for role, paths in found.items() if name in paths})
    return Files(names, parts)


def _of_table(path: Path) -> Files:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SigeError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SigeError(f"{path} cannot be read as CSV: {first_line(error)}") from None
    if not rows:
        raise SigeError(f"{path} holds no edits: a line of names, such as original,edited,mask, and one for each edit")
    strange = [name for name in columns if name not in {*ROLES, "name"}]
    roles = [ROLES[name] for name in columns if name in ROLES]
    twice = len(set(roles)) < len(roles) or len(set(columns)) < len(columns)
    if strange or twice or not {"original", "edited"} <= set(roles):
        known = ", ".join(field.name for field in fields(Case))
        raise SigeError(
            f"{path} has the columns {', '.join(columns)}: original and edited must be there, of {known}, each once and"
            " with commas between them"
        )
    names, parts = [], []
    for number, row in rows:
        given = {ROLES[name]: path.parent / row[name] for name in columns if name in ROLES and row[name]}
        if not {"original", "edited"} <= given.keys() or None in row or "\0" in "".join(filter(None, row.values())):
            raise SigeError(f"{path}: line {number} does not have what its columns say")
        names.append(row.get("name") or given["original"].stem)
        parts.append(given)
    return Files(names, parts)
