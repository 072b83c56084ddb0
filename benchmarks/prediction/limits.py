"""What an M1 Pro's GPU can do at most: every constant of the model, and where it is from."""

CORES = 16
"""Of the larger M1 Pro; the smaller one has 14. Apple's specification."""

CLOCK = 1.296e9
"""Hz. Measured by others (github.com/philipturner/metal-benchmarks)."""

LANES = 128
"""Operations that a core issues per cycle, fused multiply-adds or integer ones, in float16 as in float32: ibid., and by
it 16 * 128 * 2 * 1.296e9 are the 5.3 TFLOPS that are published."""

DIVISION, SPECIAL = 16, 4
"""Operations that a division of integers and a special function of floats (exp, a reciprocal) take. Assumed: cores
divide by several instructions, and have a quarter as many units for special functions as lanes."""

MATRIX_CYCLES = 17
"""Of a product of 8x8 matrices on a simdgroup's 32 lanes: others measured 17 to 18, where the lanes' peak is 16."""

DRAM = 200e9
"""Bytes per second. Apple's specification."""

THREADGROUP_BYTES = 128
"""Of threadgroup memory that a core moves in a cycle. Assumed, four bytes for each of a simdgroup's lanes: no figure is
published."""

LAUNCH = 2e-6
"""Seconds from a launch's end to the start of one that waits for it. Assumed: no figure is published."""
