"""Which blocking of a convolution should be fastest, and whether several threadgroups should share its sum: what
`benchmarks.prediction` counts, roughly, for it must be found in microseconds."""

from dataclasses import replace
from math import prod

from sige_mlx.engine.gpu import chip
from sige_mlx.engine.gpu.ops.blocking import (
    AHEAD,
    AnyBlocking,
    Blocking,
    NarrowBlocking,
    WinogradBlocking,
    blockings_of,
    groups_of,
)
from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.weights import k_groups
from sige_mlx.engine.gpu.ops.winograd import INNER, POINTS, can_be_transformed

SHARES = (2, 4, 8)
SHARED_CHANNELS = 32
"""Of `metal/conv/share.h`."""
ENOUGH = 2 * chip.CORES
"""Threadgroups from which on a sum need not be shared."""
WORTH_ITS_MEMORY = 1.3
"""Times faster that a convolution should be for its weights to be kept transformed too."""

MATRIX = 8 * 8

# Operations of a simdgroup, as they were counted.
LOAD, STEP, NARROW_STEP, TRANSFORM, EPILOGUE, FIND, BEGIN = 22, 16, 30, 30, 60, 40, 500
"""To fetch and put four channels; beside the products of a step; likewise of a narrow one; for a line of six numbers;
for four channels of an output; for a pixel that is to be found; to begin and to bring sums together."""


def blocking_of(call: Convolution) -> AnyBlocking | None:
    """The blocking that should be fastest; None when the tiles or kernels are larger than the kernels take."""
    return min(blockings_of(call), key=lambda b: cycles(call, b), default=None)


def shares_of(call: Convolution) -> int:
    """How many threadgroups should share the sum; 1 where that would take longer, or too many are there anyway."""
    best = blocking_of(call)
    if best is None or prod(groups_of(call, best)) >= ENOUGH:
        return 1
    found, least = 1, cycles(call, best)
    for shares in SHARES:
        shared = replace(call, shares=shares)
        if shares <= max(-(-s.x.c // SHARED_CHANNELS) for s in call.sources) and (b := blocking_of(shared)):
            taken = cycles(shared, b) + total_cycles(shared)
            found, least = (shares, taken) if taken < least else (found, least)
    return found


def transform_pays(call: Convolution) -> bool:
    """Whether a convolution should be faster by transformed weights."""
    if not can_be_transformed(call):
        return False
    other = blocking_of(replace(call, transformed=None))
    best = min(cycles(call, WinogradBlocking(tiles)) for tiles in (8, 16))
    return other is None or WORTH_ITS_MEMORY * best < cycles(call, other)


def cycles(call: Convolution, b: AnyBlocking) -> float:
    """Of the busiest core: its threadgroups come in waves of as many as it holds at a time."""
    groups = prod(groups_of(call, b))
    on_core = -(-groups // chip.CORES)
    at_a_time = min(on_core, chip.resident(b.memory(call.weight.dtype.size), b.threads // chip.SIMD, b.registers))
    waves = -(-on_core // at_a_time)
    simdgroups = b.threads // chip.SIMD
    products, multiplied, others, barriers, waits = _work(call, b)
    operation = chip.operation_cycles(simdgroups * at_a_time)
    turns = simdgroups / min(chip.SCHEDULERS, simdgroups)
    own = turns * (products * chip.MATRIX_CYCLES + multiplied * operation)  # loads for the next are asked for before
    one = own + turns * others * operation
    stalls = max(0.0, waits * chip.LATENCY - own - (at_a_time - 1) * one) + chip.CHAIN * chip.LATENCY
    issued = on_core * one + waves * (stalls + barriers * chip.BARRIER)
    rows = b.tm if isinstance(b, Blocking) else max(1, b.tiles // 8)  # matrices that one of weights meets
    asked = products / rows * simdgroups * MATRIX * call.weight.dtype.size
    return max(issued, on_core * asked / chip.CORE_BYTES, _weight_bytes(call, b) / chip.DRAM_BYTES)


def _weight_bytes(call: Convolution, b: AnyBlocking) -> int:
    """Of the weights, transformed where that is how the blocking has them."""
    if not isinstance(b, WinogradBlocking):
        return call.weight.nbytes
    groups = sum(k_groups(1, POINTS if s.kh == 3 else INNER, s.x.c) for s in call.sources)
    return call.weight.nbytes // call.weight.shape[1] * groups


def total_cycles(call: Convolution) -> float:
    """Of the launch that adds the shares."""
    e = call.epilogue
    nbytes = 4 * (call.shares or 0) * e.out.tiles * e.out.tile**2 * e.c_out
    return chip.LAUNCH * chip.CLOCK + (2 + chip.CHAIN) * chip.LATENCY + 2 * nbytes / chip.DRAM_BYTES


def _work(call: Convolution, b: AnyBlocking) -> tuple[float, float, float, float, float]:
    """Of a simdgroup of a threadgroup: products of matrices, other multiplications, other operations, barriers, and how
    often it waits for loads that could not be asked for earlier."""
    shares = call.shares or 1
    rows = b.tiles * b.tile**2
    outputs = len(call.epilogue.outputs) + 1
    ends = (FIND * (b.pixels * len(call.sources) + rows) + EPILOGUE * outputs * rows * b.columns / 4) / b.threads
    if isinstance(b, WinogradBlocking):
        products = others = chunks = 0.0
        for s in call.sources:
            points, groups = POINTS if s.kh == 3 else INNER, -(-s.x.c // 8) / shares
            products += groups * points / 4 * 2 * b.tiles / 8
            loads = -(-b.tiles * points * 2 // b.threads)
            lines = 2 * -(-(6 if s.kh == 3 else 4) * b.tiles * 8 // b.threads)
            others += groups * (loads * LOAD + lines * TRANSFORM)
            chunks += groups
        return products, 0.0, others + ends, 4 * chunks + 24, chunks
    steps = sum(k_groups(s.kh, s.kw, s.x.c) for s in call.sources) / shares
    chunks = sum(-(-s.x.c // b.bk) for s in call.sources) / shares
    others = chunks * LOAD * -(-b.pixels * b.bk // 4 // b.threads) + ends
    if isinstance(b, NarrowBlocking):
        return 0.0, steps * 8 * b.own * b.columns, others + steps * NARROW_STEP, 2 * chunks, steps
    steps /= b.wk
    products = steps * b.tm * b.tn
    return products, 0.0, others + BEGIN + steps * STEP, 2 * chunks + 2 * b.wk, steps / AHEAD
