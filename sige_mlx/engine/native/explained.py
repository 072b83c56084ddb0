"""How the library computes each convolution of a program, and how long that takes at least. Needs no weights."""

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sige_mlx.engine.native.compiled import Checked, Planned
from sige_mlx.engine.native.joining import joined
from sige_mlx.engine.native.library import header, library
from sige_mlx.graph.program import NONE, Conv, Depthwise, Program
from sige_mlx.graph.tiling import Size, Tiling

FLOAT = 4

METHODS = ("direct", "phases", "F(2x2, 3x3)", "F(4x4, 3x3)", "upsampled F(2, 2)")
"""As sige_method numbers them."""
FILTERS = ("packed", "shared", "in cache", "in registers")
"""As sige_filters numbers them."""


@dataclass(frozen=True)
class Limits:
    """What a machine can do at most."""

    flops: float
    """Floating-point operations a second, two for each multiplication and addition."""
    bandwidth: float
    """Bytes a second that are read from memory or written to it."""

    def seconds(self, macs: int, nbytes: int) -> float:
        """What so many multiplications and bytes take at least."""
        return max(2 * macs / self.flops, nbytes / self.bandwidth)

    def by_memory(self, macs: int, nbytes: int) -> bool:
        """Whether that is the bytes' time."""
        return nbytes / self.bandwidth > 2 * macs / self.flops


@dataclass(frozen=True)
class Explained:
    """One convolution, of all sources that it adds up."""

    op: int
    """Its place in the program."""
    layer: str
    plane: Size
    """That it writes."""
    channels: tuple[int, int]
    """Read, of all sources, and written."""
    tiles: int | None
    """So many are computed; None is every pixel."""
    method: str
    """That of its largest kernel, one of `METHODS`, or "depthwise"."""
    filters: str | None
    """Where filters for Winograd's algorithm are transformed, one of `FILTERS`: when weights were packed, once for all
    threads, for each chunk in a core's cache, or between its multiplications. None where none are."""
    chunks: int | None
    """In so many pieces; None for a depthwise one."""
    macs: int
    """Multiplications of the plain algorithm."""
    macs_left: int
    """What the method does; those of channels that fill up vectors are among them."""
    weight_nbytes: int
    """Packed weights."""
    nbytes: int
    """All that is read and written, each byte once."""

    def seconds(self, limits: Limits) -> float:
        """What it takes at least."""
        return limits.seconds(self.macs_left, self.nbytes)

    def bound(self, limits: Limits) -> Literal["FMA", "memory"]:
        """What it is bound by."""
        return "memory" if limits.by_memory(self.macs_left, self.nbytes) else "FMA"


def explain(program: Program, tiling: Tiling | None) -> list[Explained]:
    """Explains every convolution that has weights, and pixels to compute, in the order of a program: that of a dense
    pass, or of the edit of these tiles."""
    program = joined(program)
    planned = Planned(Checked(program), tiling)
    counts = {} if tiling is None else tiling.counts
    choice = header().structs["sige_choice"]()
    found = []
    for i, (op, layer) in enumerate(zip(program.ops, program.names, strict=True)):
        if not isinstance(op, Conv | Depthwise):
            continue
        work = op.work(counts)
        method, filters, chunks, left, packed = "depthwise", None, None, work.macs, FLOAT * work.weights
        if isinstance(op, Conv):
            if library().sige_explain(planned.handle, i, ctypes.byref(choice)):
                continue  # it has no tiles
            method, chunks = METHODS[choice.method], choice.chunks
            filters = FILTERS[choice.filters] if "F(" in method else None
            left, packed = int(choice.macs), int(choice.weight_bytes)
        elif op.weight == NONE or not op.out.pixels(counts):
            continue
        nbytes = FLOAT * (work.floats - work.weights) + packed
        plane = op.out.h, op.out.w
        found.append(
            Explained(
                i, layer, plane, work.channels, work.tiles, method, filters, chunks, work.macs, left, packed, nbytes
            )
        )
    return found


def measured(threads: int) -> Limits:
    """Measures this machine on so many threads: accumulations in registers, and copies of what no cache holds, the
    fastest of a few. Takes about half a second."""
    return Limits(_fastest(threads, lambda: _spin), _fastest(threads, lambda: _copier(COPIED // threads)))


SPIN_STEPS = 300_000
COPIED = 96 << 20
"""Bytes, by all threads together."""
REPEATS = 5


def _spin() -> float:
    return float(library().sige_spin(SPIN_STEPS))


def _copier(nbytes: int) -> Callable[[], float]:
    source, target = np.ones(nbytes, np.uint8), np.ones(nbytes, np.uint8)

    def copy() -> float:
        np.copyto(target, source)
        return 2.0 * nbytes

    return copy


def _fastest(threads: int, prepare: Callable[[], Callable[[], float]]) -> float:
    """Lets threads do the same work at the same time, a few times; returns how much a second the fastest time saw. A
    single thread is measured by the processor's time, which other programs disturb less."""
    now = time.perf_counter if threads > 1 else time.thread_time
    together = threading.Barrier(threads)

    def run() -> Sequence[tuple[float, float, float]]:
        work, times = prepare(), []
        for _ in range(REPEATS):
            together.wait()
            start = now()
            done = work()
            times.append((done, start, now()))
        return times

    with ThreadPoolExecutor(threads) as pool:
        runs = zip(*(f.result() for f in [pool.submit(run) for _ in range(threads)]), strict=True)
    return max(
        sum(done for done, _, _ in run) / (max(end for _, _, end in run) - min(start for _, start, _ in run))
        for run in runs
    )
