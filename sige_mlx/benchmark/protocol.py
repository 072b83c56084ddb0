"""How often things are run to be timed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""Called with (what, calls done, calls in all)."""


@dataclass(frozen=True)
class Protocol:
    """`repeats` times: `warmup` untimed runs, then the mean of `runs` timed ones."""

    warmup: int
    runs: int
    repeats: int

    @property
    def calls(self) -> int:
        return self.repeats * (self.warmup + self.runs)


PAPER = Protocol(warmup=10, runs=10, repeats=5)
"""Of Li et al. 2022 for CPUs, batch 1."""

QUICK = Protocol(warmup=1, runs=3, repeats=1)
"""For a quick look, and for what happens only once a picture or once an edit."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds per run: the mean of each repeat."""

    repeats: tuple[float, ...]

    @property
    def ms(self) -> float:
        return sum(self.repeats) / len(self.repeats)


PAUSE, PAUSES = 2.0, 3
"""Seconds after which macOS has let go of what the GPU does not use, and how often they are waited."""


def measure_pauses(
    call: Callable[[], object],
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[Timing, Timing]:
    """Times a call right after another, and after a pause, in turn."""

    def timed() -> float:
        start = clock()
        call()
        return 1e3 * (clock() - start)

    call()
    at_once, later = [], []
    for _ in range(PAUSES):
        at_once.append(timed())
        sleep(PAUSE)
        later.append(timed())
    return Timing(tuple(at_once)), Timing(tuple(later))


def measure(
    calls: Mapping[str, Callable[[], object]],
    protocol: Protocol,
    *,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> dict[str, Timing]:
    """Times each call under the protocol. The calls take turns, one repeat each: a machine that drifts then drifts for
    all of them, and their ratios hold. `clock` gives seconds."""
    means: dict[str, list[float]] = {name: [] for name in calls}
    done = 0

    def run(name: str, times: int) -> float:
        nonlocal done
        start = clock()
        for _ in range(times):
            calls[name]()
            done += 1
            if progress:
                progress("measure", done, len(calls) * protocol.calls)
        return clock() - start

    for _ in range(protocol.repeats):
        for name, mean in means.items():
            run(name, protocol.warmup)
            mean.append(1e3 * run(name, protocol.runs) / protocol.runs)
    return {name: Timing(tuple(mean)) for name, mean in means.items()}
