"""Whether a BLAS multiplies large products in place of the engine's kernels.

On macOS Accelerate reaches the matrix units of Apple's cores (AMX), which no instruction that a compiler knows does. It
is used where it was measured to be faster on that machine, with a verdict that is kept as those on Metal kernels are.
Elsewhere none is used unless SIGE_CPU_BLAS names one; SIGE_CPU_BLAS= (nothing) lets a Mac do without, too."""

import ctypes
import functools
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from sige_mlx.cache import cache_folder
from sige_mlx.engine import verdicts
from sige_mlx.engine.native.library import header, library, simd
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.native.weights import aligned
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p

ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
VARIABLE = "SIGE_CPU_BLAS"
FILE = "blas.json"

TRIALS = ((1, 512, 32), (3, 256, 64))
"""Kernel, channels and height: products of a pixel-wise convolution, and of Winograd's algorithm."""
ROUNDS = 5
WINS = 0.95
"""It must not take more than this share of the kernels' time, or it is not worth another rounding."""
BOUND = 1e-5
"""Largest difference from the kernels' results, by the largest of these."""

WINNER, LOSER = "faster", "slower"


@functools.cache
def in_use() -> str:
    """Decides once for this process which BLAS the library uses, and returns its path; "" for none. Raises `SigeError`
    when SIGE_CPU_BLAS names none that can be used."""
    asked = os.environ.get(VARIABLE)
    if asked is None and sys.platform == "darwin" and _wins(ACCELERATE):
        asked = ACCELERATE
    if asked:
        use(asked)
    return asked or ""


def use(path: str) -> None:
    """Lets the library multiply by a BLAS; "" for none. Raises `SigeError` when it cannot."""
    if library().sige_use_blas(path.encode() or None):
        raise SigeError(f"{VARIABLE}: {library().sige_last_error().decode()}")


def _wins(path: str) -> bool:
    """Says whether a BLAS was measured to be faster here, or measures it."""
    machine = f"{platform.processor()}, {platform.platform()}, {simd()}, ABI {header().constants['SIGE_ABI']}"
    try:
        file = cache_folder() / FILE
    except SigeError:  # whoever has no home has no memory
        return measured(path) == WINNER
    found = verdicts.read(file).get(machine, {})
    if path not in found:
        found[path] = measured(path)
        verdicts.write(file, machine, found)
    return found[path] == WINNER


def measured(path: str) -> str:
    """Says what a BLAS was found to be: WINNER, LOSER, or why it cannot be used. It takes less than half a second."""
    lib = library()
    pools = [lib.sige_pool_create(threads) for threads in (0, 1)]
    if not all(pools):
        return "no threads"
    own = other = 0.0
    try:
        for trial in (_Trial(*shape) for shape in TRIALS):
            with trial.bound() as bound:
                trial.run(pools[0], bound)
                expected = trial.output.copy()
                own += trial.seconds(pools[0], bound)
                use(path)
                trial.run(pools[1], bound)
                alone = trial.output.copy()
                other += trial.seconds(pools[0], bound)
                if np.abs(alone - expected).max() > BOUND * np.abs(expected).max():
                    return "wrong"
                if not np.array_equal(alone, trial.output):
                    return "another result on several threads"
                use("")
    except SigeError as error:
        return str(error)
    finally:
        use("")
        for pool in pools:
            lib.sige_pool_destroy(pool)
    return WINNER if other <= WINS * own else LOSER


class _Trial:
    """A convolution of one image as networks have them."""

    def __init__(self, kernel: int, channels: int, height: int):
        rng = np.random.default_rng(0)
        shape = height, height, channels
        source = p.Source(p.Tensor(1, *shape, 4, p.Slot(0)), kernel, kernel, 1, kernel // 2, kernel // 2)
        domain = p.Domain(1, height, height, 4)
        self.op = p.Conv(
            domain, channels, p.Slot(1), p.NONE, p.NONE, 0, p.NONE, None, 0, (source,), (p.Output(p.Slot(2)),)
        )
        self.input = rng.standard_normal(shape, np.float32)
        self.output = np.empty(shape, np.float32)
        weights = rng.standard_normal((channels, kernel, kernel, channels), np.float32)
        self.packed = _packed(self.op, weights)
        self.slots = (ctypes.c_void_p * 3)(*(a.ctypes.data for a in (self.input, self.packed, self.output)))

    @contextmanager
    def bound(self) -> Iterator[int]:
        """The convolution as a bound program."""
        lib = library()
        program = lib.sige_compile(marshal([self.op]), 1, 3, ctypes.byref(ctypes.c_int()))
        bound = lib.sige_bind(program, None, 0)
        try:
            yield bound
        finally:
            lib.sige_bound_destroy(bound)
            lib.sige_program_destroy(program)

    def run(self, pool: int, bound: int) -> None:
        if library().sige_run(pool, bound, self.slots, None):
            raise SigeError(library().sige_last_error().decode())

    def seconds(self, pool: int, bound: int) -> float:
        """The fastest of some runs."""
        fastest = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            self.run(pool, bound)
            fastest = min(fastest, time.perf_counter() - start)
        return fastest


def _packed(op: p.Conv, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    struct = marshal([op])[0].u.conv
    packed = aligned(4 * library().sige_pack_size(ctypes.byref(struct)))
    data = weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    of = header().structs["sige_weights"](data, weights.shape[-1], 0)
    library().sige_pack(ctypes.byref(struct), ctypes.byref(of), packed.ctypes.data)
    return packed
