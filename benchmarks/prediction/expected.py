"""How long a call should take: as `bounds.py`, with the latencies counted.

A threadgroup stays on one core. A core holds as many at a time as fit (`resident`), by threadgroup memory, registers
and the simdgroups that it can have; what is beyond that waits for the next wave. A wave takes

    issue     of all its threadgroups: products of matrices and other operations, which take longer where few simdgroups
              are there to switch between
    loads     that a simdgroup waits for one after the other (`waits_of`), each for the latency of memory, as far as
              neither its own multiplications nor the other threadgroups have something to do meanwhile
    barriers  of one threadgroup
    chains    of loads with which a threadgroup begins (numbers, tile, place of a pixel, pixel), and ends, likewise for
              the residual

A call takes the waves of the busiest core, or what memory takes if that is longer, after its launch.
"""

from dataclasses import dataclass

from benchmarks.prediction.bounds import MATRIX_FMAS, others
from metal.sim import Counters
from sige_mlx.engine.gpu import chip
from sige_mlx.engine.gpu.chip import operation_cycles, resident
from sige_mlx.engine.gpu.launch import Launch

LINE = 128
"""Bytes that a transaction moves."""
REGISTERS = 64
"""Of a thread whose kernel says nothing of it. Assumed: no compiler here can tell."""


@dataclass(frozen=True)
class Expected:
    """Milliseconds, of which `ms` is what a call takes."""

    issue: float
    """All that the busiest core issues."""
    stalls: float
    """What its threadgroups wait beyond that: for loads, at barriers, at their beginning and end."""
    memory: float
    launch: float
    resident: int
    """Threadgroups that are on the busiest core at a time."""

    @property
    def ms(self) -> float:
        return max(self.issue + self.stalls, self.memory) + self.launch

    @property
    def by(self) -> str:
        """The name of the largest."""
        names = {"issue": self.issue, "stalls": self.stalls, "memory": self.memory, "launch": self.launch}
        return max(names, key=lambda name: names[name])


def of_launch(launch: Launch, nbytes: int, counters: Counters, threadgroups: int) -> Expected:
    """Of a call that moves so many bytes and that a launch runs in so many threadgroups; `counters` are of a sample of
    them."""
    simdgroups = -(-launch.threads // chip.SIMD)
    on_core = -(-threadgroups // chip.CORES)
    most = resident(counters.threadgroup_memory, simdgroups, getattr(launch.blocking, "registers", REGISTERS))
    at_a_time = min(on_core, most)
    issue = stalls = 0.0
    for groups, times in ((at_a_time, on_core // at_a_time), (on_core % at_a_time, 1)):
        if groups:
            operation = operation_cycles(simdgroups * groups)
            one = issue_cycles(counters, simdgroups, operation)
            meanwhile = multiplying(counters, simdgroups, operation) + (groups - 1) * one
            waited = max(0.0, waits_of(launch, counters) * chip.LATENCY - meanwhile)
            barriers = counters.threadgroup_barriers / counters.threadgroups * chip.BARRIER
            issue += times * groups * one
            stalls += times * (waited + barriers + chip.CHAIN * chip.LATENCY)
    core = on_core * through_caches(counters) / counters.threadgroups / chip.CORE_BYTES
    return Expected(
        issue=_ms(issue),
        stalls=_ms(stalls),
        memory=max(_ms(core), _ms(nbytes / chip.DRAM_BYTES)),
        launch=1e3 * chip.LAUNCH,
        resident=at_a_time,
    )


def issue_cycles(counters: Counters, simdgroups: int, operation: float) -> float:
    """Cycles that a core issues for a threadgroup, where an operation takes so many."""
    products = counters.simdgroup_multiplies / counters.threadgroups * chip.MATRIX_CYCLES
    other = others(counters) / counters.threadgroups / chip.SIMD
    return (products + other * operation) / min(chip.SCHEDULERS, simdgroups)


def multiplying(counters: Counters, simdgroups: int, operation: float) -> float:
    """Of these, those of multiplications, which loads for the next ones are asked for before."""
    products = counters.simdgroup_multiplies
    fmas = (counters.fmas - MATRIX_FMAS * products) / chip.SIMD * operation
    return (products * chip.MATRIX_CYCLES + fmas) / counters.threadgroups / min(chip.SCHEDULERS, simdgroups)


def through_caches(counters: Counters) -> int:
    """Bytes between cores and memory, where a core's own cache keeps nothing: those that are asked for, of which lanes
    that ask for the same share one line."""
    lines = counters.device_read_transactions + counters.device_write_transactions
    return min(lines * LINE, counters.device_bytes_read + counters.device_bytes_written)


def waits_of(launch: Launch, counters: Counters) -> float:
    """How often a simdgroup waits for loads that it could not ask for earlier. A blocking knows how many steps its
    kernel takes between two; other kernels ask for everything that they need up to the next barrier at once."""
    if fmas_a_wait := getattr(launch.blocking, "fmas_a_wait", 0):
        return counters.fmas / counters.threadgroups / -(-launch.threads // chip.SIMD) / fmas_a_wait
    return counters.threadgroup_barriers / counters.threadgroups / 2


def _ms(cycles: float) -> float:
    return 1e3 * cycles / chip.CLOCK
