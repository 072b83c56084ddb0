"""What each op of a network takes one thread, in which pieces, and what the pass takes two."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.cores.model import Pieces
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.benchmark.workload import workload
from sige_mlx.engine import Engine
from sige_mlx.engine.native.explained import explain
from sige_mlx.engine.native.library import simd
from sige_mlx.graph import program as p
from sige_mlx.graph.tiling import Tiling

LANES = {"avx512": 16}
"""Floats in a vector of the kernels', where they are not 8; a panel has two vectors."""

ITEM = 64
"""Pixels that other ops than convolutions and norms are taken to share at a time. Norms run on one core."""


@dataclass(frozen=True)
class Measured:
    """One pass: dense, or an edit."""

    model: str
    what: str
    one: float
    """Seconds on one thread, the median."""
    two: float
    """And on two."""
    ops: list[Pieces]


def measure(model: str, percent: float, rounds: int, tell: Progress | None = None) -> list[Measured]:
    """Measures the dense pass and an edit of so many percent of the pixels with random weights. Passes on one and on
    two threads take turns, so that other programs disturb both."""
    pretrained = zoo.random(model)
    policy = pretrained.policy()
    engines = [pretrained.engine("cpu", policy, threads=threads) for threads in (1, 2)]
    work = workload(engines[0])
    mask = blob_mask(engines[0].image_size, percent, policy.dilation)
    inputs = work.edited(mask)
    for engine in engines:
        engine.record(**work.original)
    found = []
    for i, what in enumerate(("dense", "edit")):
        prepared = [engine.prepare(mask) if what == "edit" else None for engine in engines]
        passes = [partial(_run, e, edit, inputs) for e, edit in zip(engines, prepared, strict=True)]
        seconds: list[list[float]] = [[], []]
        of_ops = []
        for n in range(rounds):
            for run, into in zip(passes, seconds, strict=True):
                start = time.perf_counter()
                run()
                into.append(time.perf_counter() - start)
            program, of_op = engines[0].profile(prepared[0], **inputs)
            of_ops.append(of_op)
            if tell:
                tell(model, i * rounds + n + 1, 2 * rounds)
        tiling = prepared[0].tiling if prepared[0] else None
        one, two = (float(np.median(s)) for s in seconds)
        found.append(Measured(model, what, one, two, pieces(program, tiling, np.median(of_ops, axis=0))))
    return found


def _run(engine: Engine, edit: Any, inputs: Any) -> None:
    mx.eval(engine(**inputs) if edit is None else engine.edit(edit, **inputs))


def pieces(program: p.Program, tiling: Tiling | None, seconds: Any) -> list[Pieces]:
    """Returns what can be claimed of each op of a program that has run, the seconds of which one thread has taken."""
    found = []
    panel = 2 * LANES.get(simd(), 8)
    counts = {} if tiling is None else tiling.counts
    chunks_of = {of.op: of.chunks for of in explain(program, tiling) if of.chunks is not None}
    for i, op in enumerate(program.ops):
        chunks, panels = 1, 1
        if isinstance(op, p.Conv) and i in chunks_of:
            chunks, panels = max(1, chunks_of[i]), -(-op.c_out // panel)
        elif not isinstance(op, p.Norm):
            chunks = max(1, _pixels(op, counts) // ITEM)
        found.append(Pieces(float(seconds[i]), chunks, panels))
    return found


def _pixels(op: Any, counts: p.Counts) -> int:
    """How many an op computes."""
    if isinstance(op, p.Paste):
        return op.x.n * op.x.h * op.x.w
    pixels: int = op.out.pixels(counts)
    return pixels
