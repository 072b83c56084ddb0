"""The three tables: by which commands ours come about, and what the paper has beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper.figures import ROWS, Row
from sige_mlx import zoo
from sige_mlx.errors import SigeError

EDIT = "1.2"
"""Percent of the pixels in tables of cost."""

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """Arguments of `sige-mlx`; what it prints is kept in a file, where one is named."""

    arguments: tuple[str, ...]
    kept: Path | None = None

    def __str__(self) -> str:
        return " ".join(("sige-mlx", *self.arguments)) + (f" > {self.kept}" if self.kept else "")


@dataclass(frozen=True)
class Table:
    """`command` is that of a row; `cells` are a row's, of what its command has left in a folder."""

    title: str
    protocol: str
    rows: tuple[Row, ...]
    columns: Cells
    command: Callable[[Row, Path], Command]
    cells: Callable[[Row, Path], Cells]
    judges: bool = False
    """Whether it needs trained weights, data and measures."""


def csv_file(row: Row, out: Path) -> Path:
    """Of the published edits of a row."""
    return out / f"{row.data}.csv"


def _threshold(row: Row) -> tuple[str, ...]:
    return () if row.threshold is None else ("--threshold", str(row.threshold))


def _judge(row: Row, out: Path) -> Command:
    methods = ",".join(("dense", "edit", "edit:fast", "patch", "crop", *filter(zoo.is_here, row.others)))
    given = ("-m", row.model, *row.arguments, "--methods", methods, *_threshold(row))
    return Command(("evaluate", str(csv_file(row, out)), *given, "--out", str(out / row.model)))


def _bench(row: Row, out: Path) -> Command:
    given = ("-m", row.model, "--weights", "random", "--edit", EDIT, *_threshold(row))
    return Command(("bench", *given, "--json"), out / f"bench-{row.model}.json")


def _info(row: Row, out: Path) -> Command:
    return Command(("info", "-m", row.model, *_threshold(row), "--json"), out / f"info-{row.model}.json")


def _of_quality(row: Row, out: Path) -> Cells:
    found = _read(out / row.model / "table.json")
    measure, dense, edit = row.quality or ("", 0.0, 0.0)
    percent, macs = row.average or (0.0, 0.0)
    paper = (f"{measure} {dense} -> {edit}", f"{macs} GMACs at {percent} %")
    if found is None:
        return (*paper, "", "")
    of = found["methods"]
    values = [_measured(of[method], measure) for method in ("dense", "edit:fast", "edit")]
    ours = f"{measure} {values[0]} -> {values[1]}, {values[2]} balanced"
    return (*paper, ours, f"{of['edit:fast']['macs'] / 1e9:.1f} GMACs at {100 * found['edited']:.1f} %")


def _measured(of: dict[str, Any], measure: str) -> str:
    value = of.get(measure)
    if isinstance(value, dict):
        value = 100 * value["whole"]["mean"]
    return "?" if value is None else f"{value:.1f}"


def _of_time(row: Row, out: Path) -> Cells:
    assert row.efficiency
    e = row.efficiency
    paper = [_times(*e.macs, "G"), *(_times(*pair, "ms") for pair in (e.rtx_3090, e.m1_gpu, e.m1_cpu))]
    found = _read(out / f"bench-{row.model}.json")
    if found is None:
        return (*paper, "", "")
    edit = found["edits"][0]
    return (
        *paper,
        _times(found["macs"] / 1e9, edit["macs"] / 1e9, "G"),
        _times(found["dense_ms"], edit["edit_ms"], "ms"),
    )


def _of_memory(row: Row, out: Path) -> Cells:
    found = _read(out / f"info-{row.model}.json")
    if found is None:
        return (f"{row.cache} GB", "", "")
    codecs = found["cache_bytes_per_step_by_codec"]
    return (f"{row.cache} GB", f"{codecs['float32'] / 1e9:.2f} GB", f"{codecs['int8'] / 1e9:.2f} GB")


def _times(before: float, after: float, unit: str) -> str:
    return f"{_short(before)} -> {_short(after)} {unit} ({before / after:.1f}x)"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _read(path: Path) -> dict[str, Any] | None:
    """What a command has left; None where it was not run."""
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SigeError(f"{path} cannot be read as what a command printed: remove it, and run that again") from error
    return found


TABLES = {
    "table1": Table(
        "Quality",
        "Every published edit; of street scenes both ways. PSNR and LPIPS are means over the pictures, in the edited"
        " region and whole, to the true pictures and to the dense pass; FID is between the set of pictures and the true"
        " ones, mIoU what DRN-D-105 sees. The paper's are those of its README: the others are in the paper.",
        tuple(row for row in ROWS if row.quality),
        ("the paper's", "its work", "ours, fast", "our work"),
        _judge,
        _of_quality,
        judges=True,
    ),
    "table2": Table(
        "Work and time",
        f"One pass, batch 1, float32, and one over an edit of {EDIT} % of the pixels: 10 warm-up runs and 10 timed"
        " ones, five times, the mean. Weights are random, which takes as long. Before and after in each cell; in those"
        " of GAN Compression, the paper's times before are GauGAN's.",
        tuple(row for row in ROWS if row.efficiency),
        ("GMACs", "RTX 3090", "M1 Pro, GPU", "M1 Pro, CPU", "our GMACs", "ours, this machine"),
        _bench,
        _of_time,
    ),
    "table3": Table(
        "Memory",
        "What is kept of an original for one pass.",
        tuple(row for row in ROWS if row.cache is not None),
        ("the paper's", "ours, float32", "ours, int8"),
        _info,
        _of_memory,
    ),
}
