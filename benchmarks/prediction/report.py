"""Predictions as tables and as JSON."""

import dataclasses
import statistics
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks.prediction import Predicted, PredictedCall, PredictedPass, limits, slowest
from sige_mlx.cli import terminal
from sige_mlx.engine.gpu import chip

BOUNDS = ("alu", "dram", "threadgroup", "launch")
COLUMNS = ("launches", "groups", "GMACs", "ALU", "DRAM", "at least", "issue", "stalls", "memory", "expected", "by")


def print_predicted(predicted: Predicted, layers: bool) -> None:
    """A table for every pass, of calls alike or, with `layers`, of all calls."""
    h, w = predicted.image_size
    terminal.say("PREDICTED, NOT MEASURED: what an M1 Pro should take, in ms")
    terminal.say(f"{predicted.model}, {h} x {w}, {predicted.precision}, batch 1, {chip.CORES} GPU cores")
    for taken in predicted.passes:
        terminal.say(f"\n{taken.what}")
        groups = [(c.layer, [c]) for c in taken.calls] if layers else taken.by_kind().items()
        rows = [(name, *_row(calls)) for name, calls in groups]
        terminal.table(["", *COLUMNS], [*rows, ("total", *_row(taken.calls, digits=2))])
        terminal.say(
            f"{taken.ms:.1f} to {taken.expected_ms:.1f} ms: {taken.command_buffers} command buffers,"
            f" {taken.host_ms:.1f} ms of the host, threadgroups of a convolution: median {taken.threadgroups:.0f}"
        )
    terminal.say(
        "\nAt least: the largest of ALU, DRAM and threadgroup memory, after a launch. Expected: what is issued and what"
        " is waited for, or memory if that takes longer; in all also command buffers, and the host's work that the GPU"
        " waits for. `groups` is the median of threadgroups."
    )


def as_json(predicted: Predicted) -> dict[str, Any]:
    """Every call, and of every pass what the table's last row says; times in milliseconds."""
    return {
        "predicted_not_measured": True,
        "model": predicted.model,
        "image_size": list(predicted.image_size),
        "precision": predicted.precision,
        "limits": _figures(limits),
        "chip": _figures(chip),
        "passes": [_pass(taken) for taken in predicted.passes],
    }


def _figures(module: ModuleType) -> dict[str, Any]:
    return {name.lower(): value for name, value in vars(module).items() if name.isupper()}


def _pass(taken: PredictedPass) -> dict[str, Any]:
    return {
        "what": taken.what,
        "percent": taken.percent,
        "ms": taken.ms,
        "expected_ms": taken.expected_ms,
        "gpu_ms": taken.gpu_ms,
        "host_ms": taken.host_ms,
        "command_buffers": taken.command_buffers,
        "threadgroups": taken.threadgroups,
        "dispatches": taken.dispatches,
        "macs": taken.macs,
        "bound": slowest(taken.calls),
        "bounds": {name: _spent(taken.calls, name) for name in BOUNDS},
        "calls": [_call(c) for c in taken.calls],
    }


def _call(c: PredictedCall) -> dict[str, Any]:
    found = {**dataclasses.asdict(c), "ms": c.bounds.ms, "bound": c.bounds.by}
    return found | {"expected_ms": c.expected.ms, "expected_by": c.expected.by}


def _row(calls: Sequence[PredictedCall], digits: int = 3) -> tuple[str, ...]:
    times = (
        *(_spent(calls, name) for name in ("alu", "dram")),
        sum(c.bounds.ms for c in calls),
        *(sum(float(getattr(c.expected, name)) for c in calls) for name in ("issue", "stalls", "memory", "ms")),
    )
    groups = statistics.median(c.threadgroups for c in calls)
    macs = sum(c.macs for c in calls) / 1e9
    return (
        f"{len(calls)}",
        f"{groups:.0f}",
        f"{macs:.2f}",
        *(f"{ms:.{digits}f}" for ms in times),
        slowest(calls),
    )


def _spent(calls: Sequence[PredictedCall], name: str) -> float:
    return sum(float(getattr(c.bounds, name)) for c in calls)
