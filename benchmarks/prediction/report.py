"""Predictions as tables and as JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.prediction import Predicted, PredictedCall, PredictedPass, limits, slowest
from sige_mlx.cli import terminal

BOUNDS = ("alu", "dram", "threadgroup", "launch")
COLUMNS = ("dispatches", "GMACs", "ALU", "DRAM", "threadgroup", "launch", "ms", "bound")


def print_predicted(predicted: Predicted, layers: bool) -> None:
    """A table for every pass, of calls alike or, with `layers`, of all calls."""
    h, w = predicted.image_size
    terminal.say("PREDICTED, NOT MEASURED: the least times that an M1 Pro's limits allow, in ms")
    terminal.say(f"{predicted.model}, {h} x {w}, {predicted.precision}, batch 1, {limits.CORES} GPU cores")
    for taken in predicted.passes:
        terminal.say(f"\n{taken.what}")
        groups = [(c.layer, [c]) for c in taken.calls] if layers else taken.by_kind().items()
        rows = [(name, *_row(calls)) for name, calls in groups]
        terminal.table(["", *COLUMNS], [*rows, ("total", *_row(taken.calls, digits=2))])
    terminal.say(
        "\nA call takes the largest of ALU, DRAM and threadgroup, after the wait of its launch; a pass takes the sum of"
        " its calls."
    )


def as_json(predicted: Predicted) -> dict[str, Any]:
    """Every call, and of every pass what the table's last row says; times in milliseconds."""
    names = ("CORES", "CLOCK", "LANES", "MATRIX_CYCLES", "DRAM", "THREADGROUP_BYTES", "LAUNCH")
    return {
        "predicted_not_measured": True,
        "model": predicted.model,
        "image_size": list(predicted.image_size),
        "precision": predicted.precision,
        "limits": {name.lower(): getattr(limits, name) for name in names},
        "passes": [_pass(taken) for taken in predicted.passes],
    }


def _pass(taken: PredictedPass) -> dict[str, Any]:
    return {
        "what": taken.what,
        "percent": taken.percent,
        "ms": taken.ms,
        "dispatches": taken.dispatches,
        "macs": taken.macs,
        "bound": slowest(taken.calls),
        "bounds": {name: _spent(taken.calls, name) for name in BOUNDS},
        "calls": [{**dataclasses.asdict(c), "ms": c.bounds.ms, "bound": c.bounds.by} for c in taken.calls],
    }


def _row(calls: Sequence[PredictedCall], digits: int = 3) -> tuple[str, ...]:
    bounds = (f"{_spent(calls, name):.{digits}f}" for name in BOUNDS)
    spent = sum(c.bounds.ms for c in calls)
    macs = sum(c.macs for c in calls) / 1e9
    return (f"{len(calls)}", f"{macs:.2f}", *bounds, f"{spent:.{digits}f}", slowest(calls))


def _spent(calls: Sequence[PredictedCall], name: str) -> float:
    return sum(float(getattr(c.bounds, name)) for c in calls)
