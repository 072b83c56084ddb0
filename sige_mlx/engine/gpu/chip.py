"""What an M1 Pro's GPU should do, and where each figure is from. Blockings are chosen by it, `benchmarks.prediction`
predicts by it. `metal-benchmarks` is github.com/philipturner/metal-benchmarks."""

import numpy as np

CORES = 16
"""Of the larger M1 Pro; the smaller one has 14. Apple's specification."""

CLOCK = 1.296e9
"""Hz. Measured, metal-benchmarks."""

SIMD, SCHEDULERS = 32, 4
"""Lanes of a simdgroup, and simdgroups that a core issues operations of at a time: ibid., 128 lanes."""

CORE_MEMORY = 60 * 1024
"""Bytes of threadgroup memory that a core has for all its threadgroups. Ibid., "~60 KB"."""

REGISTER_FILE = 208 * 1024
"""Bytes of a core's registers. Ibid., "~208 KB"."""

FEWEST, MOST = 12, 96
"""Simdgroups that a core can hold, by what registers they need: ibid., 384 to 3072 threads."""

ISSUE_CYCLES = {4: 2.86, 8: 1.58, 24: 1.02}
"""Cycles that an operation takes one of a core's schedulers, by the simdgroups on the core: ibid., measured for four
independent operations in float32, as a loader of four channels has them; "ALU utilization maxes out at 24"."""

MATRIX_CYCLES = 20
"""Of a product of 8x8 matrices and what goes with it: ibid., a kernel that multiplies matrices reaches 101.7 to 102.5
fused multiply-adds per core and cycle."""

CORE_BYTES = 32
"""That a core gets from the cache that all share, in a cycle. Ibid., "~32 B"."""

DRAM_BYTES = 180e9 / CLOCK
"""Of memory in a cycle: nine tenths of the 200 GB/s of Apple's specification; that share is assumed."""

LATENCY = 500
"""Cycles from a load to its value, about 390 ns. Assumed: what is published of the M1 (chipsandcheese.com, "iGPU Cache
Setups Compared") are curves, with L2 well below and DRAM about there."""

CHAIN = 6
"""Loads of which each needs the one before, where a threadgroup begins and ends."""

BARRIER = 50
"""Cycles from a threadgroup's last simdgroup at a barrier to all going on. Assumed."""

LAUNCH = 2.4e-6
"""Seconds from the end of a launch to the start of one that waits for it. Measured by others on an M3 Ultra: 3200 tiny
kernels, each waiting for the one before, take 7.7 ms (github.com/ml-explore/mlx/issues/4521)."""


def resident(memory: int, simdgroups: int, registers: int) -> int:
    """Threadgroups of so many bytes and simdgroups, of threads with so many registers, that a core holds at a time."""
    held = min(max(REGISTER_FILE // (4 * SIMD * registers), FEWEST), MOST)
    return max(1, min(held // simdgroups, CORE_MEMORY // max(memory, 1)))


def operation_cycles(simdgroups: int) -> float:
    """Cycles of an operation on a core that has so many simdgroups, between those that were measured."""
    return float(np.interp(simdgroups, [*ISSUE_CYCLES], [*ISSUE_CYCLES.values()]))
