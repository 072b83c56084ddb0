"""What a table needs that is not in this repository: published weights and edits. What is missing is told by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paper import datasets
from benchmarks.paper.figures import Row
from sige_mlx import families, zoo
from sige_mlx.errors import SigeError
from sige_mlx.metrics import weights

MEASURES = ("alexnet", "lpips-alex", "inception-2015-12-05", "drn-d-105-cityscapes")
"""Files of weights by which the paper measures."""


@dataclass(frozen=True)
class Needed:
    """A thing that is needed: where it is to be had, and the file of it that is to be converted where there is one."""

    name: str
    place: str
    file: Path | None = None


def of_models(rows: Iterable[Row], folder: Path | None) -> list[Needed]:
    """The weights of models that are not converted yet."""
    found = []
    for name in dict.fromkeys(name for row in rows for name in (row.model, *row.others)):
        if zoo.is_here(name):
            continue
        files = families.KNOWN[name][1].files
        here = next((path for file in files if (path := _in(folder, file.name))), None)
        place = files[0].place if files else "nobody: no checkpoint was published"
        found.append(Needed(f"{files[0].name if files else 'weights'} of {name}", place, here))
    return found


def of_measures(folder: Path | None) -> list[Needed]:
    """The weights of measures that are not converted yet."""
    found = []
    for name in MEASURES:
        if (weights.folder(name) / weights.WEIGHTS_FILE).is_file():
            continue
        published = weights.PUBLISHED[name]
        here = _in(folder, published.file) or published.installed()
        found.append(Needed(f"{published.file} for {published.measure}", published.place, here))
    return found


def of_data(rows: Iterable[Row], folder: Path | None) -> list[Needed]:
    """The published edits that are not there."""
    names = dict.fromkeys(row.data for row in rows)
    return [Needed(part, datasets.SOURCE[name]) for name in names for part in datasets.missing(name, folder)]


def _in(folder: Path | None, name: str) -> Path | None:
    """A published file in a folder, by its whole name or its last part."""
    candidates = [] if folder is None else [folder / name, folder / Path(name).name]
    return next((path for path in candidates if path.is_file()), None)


def check_folder(folder: Path | None, option: str) -> None:
    """Raises `SigeError` for a folder that is none."""
    if folder is not None and not folder.is_dir():
        raise SigeError(f"{option} is {folder}, which is no folder")
