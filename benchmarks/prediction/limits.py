"""What an M1 Pro's GPU can do, and where each constant is from: first what bounds a time from below, then what is to be
expected of a kernel that is not perfect. `metal-benchmarks` is github.com/philipturner/metal-benchmarks."""

# ---- at most

CORES = 16
"""Of the larger M1 Pro; the smaller one has 14. Apple's specification."""

CLOCK = 1.296e9
"""Hz. Measured, metal-benchmarks."""

LANES = 128
"""Operations that a core issues per cycle, fused multiply-adds or integer ones, in float16 as in float32: ibid., and by
it 16 * 128 * 2 * 1.296e9 are the 5.3 TFLOPS that are published."""

DIVISION, SPECIAL = 16, 4
"""Operations that a division of integers and a special function of floats take. Ibid.: EXP2 4 cycles, RECIP 6; that
integers are divided by several instructions is assumed."""

MATRIX_CYCLES = 17
"""Of a product of 8x8 matrices on a simdgroup's 32 lanes: ibid., 17 to 18, where the lanes' peak is 16."""

DRAM = 200e9
"""Bytes per second. Apple's specification."""

THREADGROUP_BYTES = 128
"""Of threadgroup memory that a core moves in a cycle. Assumed, four bytes for each of a simdgroup's lanes: no figure is
published."""

LAUNCH = 2e-6
"""Seconds from a launch's end to the start of one that waits for it. Assumed, less than any that was measured."""

# ---- to be expected

CORE_MEMORY = 60 * 1024
"""Bytes of threadgroup memory that a core has for all its threadgroups. Ibid., "~60 KB"."""

REGISTER_FILE = 208 * 1024
"""Bytes of a core's registers. Ibid., "~208 KB"."""

FEWEST, MOST = 12, 96
"""Simdgroups that a core can hold, by what registers they need: ibid., 384 to 3072 threads."""

ISSUE_CYCLES = {4: 2.86, 8: 1.58, 24: 1.02}
"""Cycles that an operation takes one of a core's four schedulers, by the simdgroups on the core: ibid., measured for
four independent operations in float32, as a loader of four channels has them; "ALU utilization maxes out at 24"."""

MATRIX_CYCLES_EXPECTED = 20
"""Ibid.: a kernel that multiplies matrices reaches 101.7 to 102.5 fused multiply-adds per core and cycle, which are 20
cycles a product and scheduler."""

DRAM_SHARE = 0.9
"""Of the DRAM's rate that kernels reach. Assumed."""

CORE_BYTES = 32
"""That a core gets from the cache that all share, in a cycle. Ibid., "~32 B"."""

LATENCY = 500
"""Cycles from a load to its value, about 390 ns. Assumed: what is published of the M1 (chipsandcheese.com, "iGPU Cache
Setups Compared") are curves, with L2 well below and DRAM about there."""

BARRIER = 50
"""Cycles from a threadgroup's last simdgroup at a barrier to all going on. Assumed."""

LAUNCH_EXPECTED = 2.4e-6
"""Seconds. Measured by others on an M3 Ultra: 3200 tiny kernels, each waiting for the one before, take 7.7 ms
(github.com/ml-explore/mlx/issues/4521)."""

COMMAND_BUFFER = 20e-6
"""Seconds of the GPU between two command buffers. Ibid."""

BUFFER_LAUNCHES, BUFFER_BYTES = 40, 40 * 2**20
"""MLX ends a command buffer after so many launches, or arrays of so many bytes that were not in it before
(mlx/backend/metal/device.cpp, for a chip of this class)."""

HOST_PREPARE, HOST_LAUNCH = 0.7e-3, 5.1e-6
"""Seconds of Python and MLX for an edit from its mask on, and for each launch: `python -m benchmarks.host`, the larger
of its two models, on an x86-64 server."""

ENCODE = 0.6e-6
"""Seconds of Metal on the host for a launch. Measured by others on a Mac (github.com/antonellof/ferrox/issues/149)."""
