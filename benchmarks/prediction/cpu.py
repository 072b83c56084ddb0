"""The time of dense passes and edits on an M1 Pro's CPU: at least, and expected.

At least, an op takes the longer of two times: of its multiply-adds, on all cores together and at the rate that inner
loops reach on a model of a core (`benchmarks.neon`), and of every byte that it reads or writes once, at the rate of
memory. A pass takes the sum. Expected is that times the distance from the same bound that the pass is found at on one
thread of this machine: the cost of Winograd's transforms, of gathering, norms and activations, and of caches. What ten
cores of two kinds lose to each other is not in it: it is a guess, as there is no Mac to measure.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sige_mlx import zoo
from sige_mlx.arguments import whole
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.cli import terminal
from sige_mlx.engine.native.explained import FLOAT, Limits, explain, measured
from sige_mlx.engine.native.library import simd
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Conv, Program
from sige_mlx.graph.tiling import Tiling
from sige_mlx.masks.difference import Mask

FAST_CORES, SLOW_CORES = 8, 2
"""Of the larger M1 Pro. Apple's specification."""

FAST_CLOCK, SLOW_CLOCK = 3.036e9, 2.064e9
"""Hz, when all cores of a cluster are busy; a fast one alone reaches 3.228e9. Measured by others (AnandTech, "Apple's
M1 Pro, M1 Max SoCs Investigated", 2021)."""

FAST_PIPES, SLOW_PIPES = 4, 2
"""Multiply-adds of four floats that a core begins in a cycle. Measured by others (dougallj.github.io/applecpu)."""

REACHED = 3.6 / 4
"""Of the pipes, by the inner loops: `tests/benchmarks/test_neon.py` holds it on LLVM's model of a core."""

DRAM = 200e9
"""Bytes per second. Apple's specification."""

ALL_CORES = 2 * 4 * (FAST_CORES * FAST_PIPES * FAST_CLOCK + SLOW_CORES * SLOW_PIPES * SLOW_CLOCK)
"""Floating-point operations per second."""

M1_PRO = Limits(REACHED * ALL_CORES, DRAM)

OF_EIGHT_FLOATS = ("neon", "avx2", "generic")
"""Instruction sets by whose vectors convolutions are planned alike."""


@dataclass(frozen=True)
class Pass:
    """What is predicted of a pass, in seconds."""

    what: str
    percent: float | None
    """Of the pixels that the edit was to have; None for the dense pass."""
    macs: int
    """Multiplications of the plain algorithm, those of attention among them."""
    macs_left: int
    weight_nbytes: int
    nbytes: int
    at_least: float
    by_memory: float
    """The part of it that ops take which memory bounds."""
    here: float | None
    """What it takes on one thread of this machine. None where that was not measured, as of the next two."""
    here_at_least: float | None
    expected: float | None


@dataclass(frozen=True)
class CpuPrediction:
    """A model's dense pass, then an edit of each size."""

    model: str
    instruction_set: str
    limits: Limits | None
    """Those of one thread of this machine; None where nothing was measured."""
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class Work:
    """What an op does: multiplications, and bytes that it moves, weights among them."""

    macs: int
    weight_nbytes: int
    nbytes: int

    def seconds(self, limits: Limits) -> float:
        return limits.seconds(self.macs, self.nbytes)

    def by_memory(self, limits: Limits) -> bool:
        return limits.by_memory(self.macs, self.nbytes)


def predict(
    model: str,
    percents: Sequence[float],
    *,
    threshold: int | None = None,
    seed: int = 0,
    rounds: int = 5,
) -> CpuPrediction:
    """Predicts a named model, or that of a folder, on edits of each size, batch 1. With `rounds` each pass runs here so
    many times, with random weights; with 0 nothing runs, and nothing is expected. Raises `SigeError` for a model or a
    size that is not there, and when this process computes by vectors of another length than NEON's."""
    if not percents:
        raise SigeError("there is no edit to predict: give at least one size, such as 1.2")
    whole(rounds, "rounds", 0)
    if simd() not in OF_EIGHT_FLOATS:
        raise SigeError(
            f"convolutions are planned for {simd()} here, other than for NEON: set SIGE_CPU_ISA=avx2, or generic"
        )
    network = zoo.network(model)
    policy = network.policy(threshold)
    lowered = Lowered.of(network.model, policy)
    masks = [blob_mask(lowered.image_size, percent, network.edit.dilation, seed) for percent in percents]
    passes: list[tuple[float | None, Tiling | None]] = [(None, None)]
    passes += [(percent, lowered.tiling(mask)) for percent, mask in zip(percents, masks, strict=True)]
    here = Here(model, threshold, masks, rounds) if rounds else None
    return CpuPrediction(
        model,
        simd(),
        here.limits if here else None,
        tuple(_pass(lowered, *of, here, i) for i, of in enumerate(passes)),
    )


class Here:
    """The dense pass of a model and edits of it, run with random weights on one thread of this machine: the processor's
    time of the fastest of some rounds, which other programs disturb less than the clock on the wall; and what one
    thread was measured at in the meantime."""

    def __init__(self, model: str, threshold: int | None, masks: Sequence[Mask], rounds: int):
        engine = engine_for(model, "cpu", 1, True, threshold)
        given = workload(engine)
        engine.record(**given.original)
        calls: list[Callable[[], object]] = [partial(engine, **given.original)]
        calls += [partial(engine.edit, engine.prepare(mask), **given.edited(mask)) for mask in masks]
        limits = [measured(1)]
        self.seconds = [math.inf] * len(calls)
        for _ in range(rounds):
            for i, call in enumerate(calls):
                start = time.process_time()
                call()
                self.seconds[i] = min(self.seconds[i], time.process_time() - start)
            limits.append(measured(1))
        self.limits = Limits(max(m.flops for m in limits), max(m.bandwidth for m in limits))


def works(program: Program, tiling: Tiling | None) -> list[Work]:
    """What each op does. An op without tiles does nothing."""
    counts = {} if tiling is None else tiling.counts
    explained = {c.op: c for c in explain(program, tiling)}
    found = []
    for i, op in enumerate(program.ops):
        if i in explained:
            c = explained[i]
            found.append(Work(c.macs_left, c.weight_nbytes, c.nbytes))
        elif isinstance(op, Conv):
            found.append(Work(0, 0, 0))
        else:
            work = op.work(counts)
            found.append(Work(work.macs, 0, FLOAT * work.floats))
    return found


def _pass(lowered: Lowered, percent: float | None, tiling: Tiling | None, here: Here | None, number: int) -> Pass:
    program = lowered.dense if tiling is None else lowered.edit_of(tiling)
    of = works(program, tiling)
    bounds = [w.seconds(M1_PRO) for w in of]
    at_least = sum(bounds)
    here_at_least = sum(w.seconds(here.limits) for w in of) if here else None
    return Pass(
        what="dense" if tiling is None else f"edit of {tiling.edited:.2%}",
        percent=percent,
        macs=program.macs({} if tiling is None else tiling.counts),
        macs_left=sum(w.macs for w in of),
        weight_nbytes=sum(w.weight_nbytes for w in of),
        nbytes=sum(w.nbytes for w in of),
        at_least=at_least,
        by_memory=sum(b for b, w in zip(bounds, of, strict=True) if w.by_memory(M1_PRO)),
        here=here.seconds[number] if here else None,
        here_at_least=here_at_least,
        expected=at_least * here.seconds[number] / here_at_least if here and here_at_least else None,
    )


def print_predicted(found: CpuPrediction) -> None:
    """A line for each pass."""
    terminal.say("PREDICTED, NOT MEASURED: an M1 Pro's CPU, 8 fast cores and 2 slow ones, in ms")
    terminal.say(
        f"{found.model}, float32, batch 1; convolutions planned for vectors as NEON's ({found.instruction_set})"
    )
    columns = ["", "GMACs", "left", "MB weights", "at least", "of it by memory", "expected", "here", "here at least"]
    terminal.say()
    terminal.table(columns, [_row(p) for p in found.passes])
    terminal.say(
        f"\nAt least: {M1_PRO.flops / 1e9:.0f} GFLOPS or {M1_PRO.bandwidth / 1e9:.0f} GB/s, which takes an op longer."
    )
    if found.limits:
        terminal.say(
            f"Expected: as far from that as a pass is here, on one thread of {found.limits.flops / 1e9:.0f} GFLOPS and"
            f" {found.limits.bandwidth / 1e9:.1f} GB/s, both measured."
        )


def as_json(found: CpuPrediction) -> dict[str, Any]:
    """Everything, in seconds, bytes and multiplications."""
    return {"predicted_not_measured": True, "m1_pro": dataclasses.asdict(M1_PRO), **dataclasses.asdict(found)}


def _row(p: Pass) -> list[str]:
    sizes = [f"{p.macs / 1e9:.2f}", f"{p.macs_left / 1e9:.2f}", f"{p.weight_nbytes / 1e6:.0f}"]
    seconds = (p.at_least, p.by_memory, p.expected, p.here, p.here_at_least)
    return [p.what, *sizes, *("" if s is None else f"{1e3 * s:.1f}" for s in seconds)]
