"""What was found, as a table and as JSON."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.frozen.check import Outcome

COLUMNS = (
    ("case", "left"),
    ("edited", "right"),
    ("dense error", "right"),
    ("edit error", "right"),
    ("peer", "right"),
    ("in mask", "right"),
    ("peer", "right"),
    ("edit ms", "right"),
    ("dense ms", "right"),
    ("edit GMACs", "right"),
    ("peer", "right"),
    ("", "left"),
)


@dataclass(frozen=True)
class Report:
    """Cases that were run, cases that could not be (with the sentence that says why), and cases of other families."""

    device: str
    outcomes: tuple[Outcome, ...]
    broken: dict[str, str]
    skipped: dict[str, str]

    @property
    def within_bounds(self) -> bool:
        """Whether something was run, and everything of it is as it should be."""
        return bool(self.outcomes) and not self.broken and not any(o.problems for o in self.outcomes)


def as_json(report: Report) -> dict[str, Any]:
    """Errors are RMS / std; numbers that a case does not have are null."""
    cases = [
        {**{k: _finite(v) for k, v in dataclasses.asdict(o).items()}, "within_bounds": not o.problems}
        for o in report.outcomes
    ]
    return {
        "device": report.device,
        "within_bounds": report.within_bounds,
        "cases": cases,
        "broken": report.broken,
        "skipped": report.skipped,
    }


def print_table(report: Report) -> None:
    """On standard output, wide enough for every column when that is no terminal."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    if report.outcomes:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, side in COLUMNS:
            table.add_column(name, justify="left" if side == "left" else "right", no_wrap=True)
        for o in report.outcomes:
            table.add_row(*_row(o))
        console.print(table)
    for o in report.outcomes:
        for problem in o.problems:
            console.print(f"{o.case}: {problem}", style="red", markup=False, highlight=False)
    for name, why in report.broken.items():
        console.print(f"{name} could not be run: {why}", style="red", markup=False, highlight=False)
    for why, names in _by_reason(report.skipped).items():
        console.print(f"{', '.join(names)} skipped: {why}", style="dim", markup=False, highlight=False)
    if not report.outcomes:
        console.print("No case could be run.", style="red")


def _by_reason(skipped: dict[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, why in skipped.items():
        reasons.setdefault(why, []).append(name)
    return reasons


def _row(o: Outcome) -> tuple[str, ...]:
    return (
        o.case if o.steps == 1 else f"{o.case} ({o.steps} steps)",
        f"{o.edited:.1%}",
        f"{o.dense_error:.1e}",
        _error(o.edit_error),
        _error(o.peer_error),
        _error(o.edit_error_in_mask),
        _error(o.peer_error_in_mask),
        f"{o.edit_ms:.1f}",
        f"{o.dense_ms:.1f}",
        f"{o.macs / 1e9:.2f}",
        f"{o.peer_macs / 1e9:.2f}" if o.peer_macs else "–",
        "out of bounds" if o.problems else "ok",
    )


def _error(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.5f}"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
