"""What an M1 Pro can do at most, and where each figure is from; what it should do stands in
`sige_mlx/engine/gpu/chip.py`, but for what concerns a whole pass, which is here. `metal-benchmarks` is
github.com/philipturner/metal-benchmarks."""

# ---- at most

LANES = 128
"""Operations that a core issues per cycle, fused multiply-adds or integer ones, in float16 as in float32:
metal-benchmarks, and by it 16 * 128 * 2 * 1.296e9 are the 5.3 TFLOPS that are published."""

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

# ---- to be expected, beside sige_mlx/engine/gpu/chip.py

COMMAND_BUFFER = 20e-6
"""Seconds of the GPU between two command buffers. Measured by others (github.com/ml-explore/mlx/issues/4521)."""

BUFFER_LAUNCHES, BUFFER_BYTES = 40, 40 * 2**20
"""MLX ends a command buffer after so many launches, or arrays of so many bytes that were not in it before
(mlx/backend/metal/device.cpp, for a chip of this class)."""

HOST_PREPARE, HOST_LAUNCH = 0.7e-3, 5.1e-6
"""Seconds of Python and MLX for an edit from its mask on, and for each launch: `python -m benchmarks.host`, the larger
of its two models, on an x86-64 server with AVX-512."""

ENCODE = 0.6e-6
"""Seconds of Metal on the host for a launch. Measured by others on a Mac (github.com/antonellof/ferrox/issues/149)."""
