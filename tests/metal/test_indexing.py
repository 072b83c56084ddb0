"""No kernel indexes an array of a thread's by what is known only at run time: it would leave the registers, and Apple's
compiler is said to read zeros from it in large kernels."""

from __future__ import annotations

import mlx.core as mx
import pytest

from metal.sim.compile import compiled
from metal.sim.ir import Place
from tests.metal.draw import MAKERS
from tests.metal.mutants import Mutant
from tests.metal.test_mutants import made
from tests.metal.test_source import captured

UNROLLED = "#pragma clang loop unroll(full)\n"
ROLLED = [
    Mutant(
        "conv/mma.h", f"{UNROLLED}for (int j = 0; j < TN; j++) {{ b[j]", "for (int j = 0; j < TN; j++) { b[j]", "plain"
    ),
    Mutant("conv/winograd.h", f"{UNROLLED}for (int x = 0; x < SIDE;", "for (int x = 0; x < SIDE;", "winograd"),
]


def indexed(probe: str, dtype: mx.Dtype = mx.float32) -> tuple[Place, ...]:
    call, launch = MAKERS[probe](3, dtype)
    launch = launch or call.launch()
    assert launch is not None
    return compiled(captured(launch), count=False).indexed


@pytest.mark.parametrize("probe", ["plain", "narrow", "winograd", "odd phases", "pooling", "norm", "odd attention"])
def test_one_call_of_each_kernel(probe: str) -> None:
    assert not indexed(probe)


@pytest.mark.slow
@pytest.mark.parametrize("probe", MAKERS)
@pytest.mark.parametrize("dtype", [mx.float16, mx.float32], ids=str)
def test_all_kernels(probe: str, dtype: mx.Dtype) -> None:
    assert not indexed(probe, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ROLLED, ids=str)
def test_a_loop_that_is_not_unrolled_is_found(mutant: Mutant) -> None:
    with made(mutant):
        places = indexed(mutant.probe)
    assert places and {place.file for place in places} == {mutant.file}
