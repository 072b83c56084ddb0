"""Rounds: in each every engine makes every call once, so that a ratio compares neighbours in time."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.against.task import Floats, Task
from benchmarks.against.worker import Worker
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.errors import SigeError

AGREEMENT = 1e-3
"""Dense outputs further apart than this (RMS, relative) are not of the same network."""

Key = tuple[str, str]
"""Engine and call."""

DENSE: Key = ("ours", "dense")
EDIT: Key = ("ours", "edit")
EVERYWHERE: Key = ("ours", "edit, output everywhere")


@dataclass(frozen=True)
class Spread:
    """Median and extremes over the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long `theirs` took as `ours`, round by round, and at the fastest of each.

    Other programs on the machine slow engines that wait at barriers more than one that hands work out, so they raise
    the median; `fastest` is nearest to what a quiet machine gives. Where the two differ, the run was disturbed.
    """

    theirs: Key
    ours: Key
    times: Spread
    fastest: float


@dataclass(frozen=True)
class Comparison:
    """`ms` for each call of each engine; `seconds` [rounds] behind them."""

    task: Task
    rounds: int
    ms: dict[Key, Spread]
    ratios: tuple[Ratio, ...]
    differences: dict[Key, float]
    """Of each engine's dense output from ours: RMS / std."""


def compare(task: Task, engines: Sequence[str], rounds: int, progress: Progress) -> Comparison:
    """Runs the engines, ours first; raises `SigeError` when one cannot be loaded or computes something else."""
    with ExitStack() as stack:
        workers = []
        for done, engine in enumerate(engines):
            progress("load", done, len(engines))
            workers.append(stack.enter_context(closing(Worker(engine, task))))
        progress("load", len(engines), len(engines))
        differences = _differences(workers)  # also the warm-up of the dense passes
        turns = [(worker, call) for worker in workers for call in worker.calls]
        seconds: dict[Key, list[float]] = {(worker.engine, call): [] for worker, call in turns}
        for n in range(rounds + 1):
            for i, (worker, call) in enumerate(turns):
                progress("measure", n * len(turns) + i, (rounds + 1) * len(turns))
                took = worker.run(call)
                if n:  # the first round warms up
                    seconds[worker.engine, call].append(took)
        progress("measure", 1, 1)
    ms = {key: _spread([1e3 * s for s in taken]) for key, taken in seconds.items()}
    return Comparison(task, rounds, ms, tuple(_ratios(seconds)), differences)


def _ratios(seconds: dict[Key, list[float]]) -> list[Ratio]:
    """Dense against dense, dense against our edit, record against record, edit against edit."""
    pairs = []
    engines = list(dict.fromkeys(engine for engine, _ in seconds if engine != "ours"))
    for engine in engines:
        dense = [key for key in seconds if key[0] == engine and key[1].startswith("dense")]
        if dense:
            best = min(dense, key=lambda key: median(seconds[key]))
            pairs += [(best, DENSE), (best, EDIT)]
        pairs += [((engine, call), ("ours", call)) for call in ("record", "edit") if (engine, call) in seconds]
        pairs += [((engine, "edit"), EVERYWHERE)] if (engine, "edit") in seconds else []
    pairs += [(DENSE, EDIT)]
    return [
        Ratio(
            theirs,
            ours,
            _spread([a / b for a, b in zip(seconds[theirs], seconds[ours], strict=True)]),
            min(seconds[theirs]) / min(seconds[ours]),
        )
        for theirs, ours in pairs
    ]


def _differences(workers: Sequence[Worker]) -> dict[Key, float]:
    """Dense outputs against ours, on the edited image, or on the original for an engine that only records."""
    differences = {}
    ours, *others = workers
    with tempfile.TemporaryDirectory() as folder:
        wanted = {call: ours.output(call, Path(folder)) for call in ("dense", "record")}
        for worker in others:
            call = "dense" if "dense" in worker.calls else "record"
            apart = _apart(worker.output(call, Path(folder)), wanted[call])
            if not apart <= AGREEMENT:
                raise SigeError(f"{worker.engine} computes something else than we do: {apart:.2g} apart, relative RMS")
            differences[worker.engine, call] = apart
    return differences


def _apart(theirs: Floats, ours: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(theirs - ours))) / ours.std())


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))
