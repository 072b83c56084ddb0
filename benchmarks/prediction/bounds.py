"""How long a call takes at least, by what limits it.

Four things take time, each at the peak rate (limits.py):

    ALU           what the busiest core issues: matrix products, and all other operations, one per lane and cycle, for
                  integers and floats share the lanes; those that take several count as several
    DRAM          bytes that must come from memory or go there (traffic.py)
    threadgroup   bytes that the busiest core moves through threadgroup memory
    launch        the wait for the call before

A GPU overlaps the first three while there are enough simdgroups to switch between, and a perfect one entirely; the wait
comes before all of them, for a call reads what the one before wrote. So the time of a call is the largest of the three
and the wait, and that of a pass the sum over its calls.
Threadgroups are handed out whole: the busiest of the cores has one of every 16, rounded up.

The model is a lower bound on what kernels of these counts take: latencies, waits at barriers, bank conflicts, caches
and the time to fill and drain the cores only add to it, and `expected.py` adds them. In two ways the counts themselves
are too high. Integer operations are those of clang's optimised text; Metal's compiler may need fewer. And a call may
find in the 24 MB cache what the one before wrote, where DRAM here counts it.
"""

from dataclasses import dataclass

from benchmarks.prediction import limits
from metal.sim import Counters
from sige_mlx.engine.gpu import chip

MATRIX_LANES = 32
"""Lanes that compute a product of 8x8 matrices together."""
MATRIX_FMAS = 8 * 8 * 8


@dataclass(frozen=True)
class Bounds:
    """Milliseconds."""

    alu: float
    dram: float
    threadgroup: float
    launch: float

    @property
    def ms(self) -> float:
        """What a call takes."""
        return max(self.alu, self.dram, self.threadgroup) + self.launch

    @property
    def by(self) -> str:
        """The name of the largest of the four."""
        names = {"ALU": self.alu, "DRAM": self.dram, "threadgroup": self.threadgroup, "launch": self.launch}
        return max(names, key=lambda name: names[name])


def of_kernel(nbytes: int, counters: Counters, threadgroups: int) -> Bounds:
    """Of a call that moves so many bytes and that a kernel runs in so many threadgroups; `counters` are of a sample of
    them."""
    busiest = -(-threadgroups // chip.CORES) / counters.threadgroups
    products = counters.simdgroup_multiplies * limits.MATRIX_CYCLES * MATRIX_LANES
    moved = counters.threadgroup_bytes_read + counters.threadgroup_bytes_written
    return Bounds(
        alu=_cycles(busiest * (products + others(counters)) / limits.LANES),
        dram=_dram(nbytes),
        threadgroup=_cycles(busiest * moved / limits.THREADGROUP_BYTES),
        launch=1e3 * limits.LAUNCH,
    )


def others(counters: Counters) -> float:
    """Operations that are no products of matrices, those that take longer as several."""
    return (
        counters.fmas
        - MATRIX_FMAS * counters.simdgroup_multiplies
        + counters.float_operations
        + counters.integer_operations
        + counters.divisions * limits.DIVISION
        + counters.special_functions * limits.SPECIAL
    )


def _cycles(cycles: float) -> float:
    return 1e3 * cycles / chip.CLOCK


def _dram(nbytes: int) -> float:
    return 1e3 * nbytes / limits.DRAM
