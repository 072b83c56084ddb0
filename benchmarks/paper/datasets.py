"""The published edits, which `sige-mlx evaluate` is told of by CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.paper.figures import CHURCH, STREETS
from sige_mlx.errors import SigeError

SOURCE = {
    CHURCH: "diffusion/download_dataset.py of https://github.com/lmxyy/sige",
    STREETS: "gaugan/download_dataset.py of https://github.com/lmxyy/sige",
}

PARTS = {
    CHURCH: ("original", "edited", "gt"),
    STREETS: (
        *("meta.csv", "images", "gt_labels", "gt_instances"),
        *("synthetic_labels", "synthetic_instances"),
    ),
}
"""What is in the folder of each."""


def missing(name: str, data: Path | None) -> list[str]:
    """What is not there of a set of edits, a name each."""
    return [f"{name}/{part}" for part in PARTS[name] if data is None or not (data / name / part).exists()]


def write_table(name: str, data: Path, out: Path) -> None:
    """Write the CSV file of a set. Raises `SigeError` where it is not as it was published."""
    rows = list((_church if name == CHURCH else _streets)((data / name).resolve()))
    if not rows:
        raise SigeError(f"{data / name} holds no edits")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _church(folder: Path) -> Iterator[dict[str, str]]:
    """Pictures that were painted into, and what was there before somebody painted it out. What is edited is where the
    two differ, as the paper has it."""
    for path in sorted((folder / "original").glob("*.png")):
        parts = {"original": path, "edited": folder / "edited" / path.name, "truth": folder / "gt" / path.name}
        yield {"name": path.stem, **_files(parts)}


def _streets(folder: Path) -> Iterator[dict[str, str]]:
    """Pairs of a real label map and one with a segment of another moved into it, both ways: where the edited map is the
    real one, its photograph is the truth."""
    with (folder / "meta.csv").open(newline="", encoding="utf-8") as file:
        pairs = list(csv.reader(file))[1:]
    for pair in pairs:
        if len(pair) < 2:
            raise SigeError(f"{folder / 'meta.csv'} names a pair of maps in each line, and not {','.join(pair)}")
        real = {part: folder / f"gt_{part}" / f"{pair[0]}.npy" for part in ("labels", "instances")}
        made = {part: folder / f"synthetic_{part}" / f"{pair[1]}.npy" for part in ("labels", "instances")}
        photograph = folder / "images" / f"{pair[0]}.png"
        yield {"name": f"{pair[1]}_synthetic", **_maps(real, made)}
        yield {"name": f"{pair[1]}_gt", **_maps(made, real), **_files({"truth": photograph})}


def _maps(before: dict[str, Path], after: dict[str, Path]) -> dict[str, str]:
    return _files({**before, **{f"edited_{part}": path for part, path in after.items()}})


def _files(parts: dict[str, Path]) -> dict[str, str]:
    for path in parts.values():
        if not path.is_file():
            raise SigeError(f"{path} is not there, and belongs to the published edits")
    return {part: str(path) for part, path in parts.items()}
