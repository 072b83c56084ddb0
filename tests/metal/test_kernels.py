"""Every kernel against plain MLX, on the model of Metal.

`FLOAT16` is the table of what each kernel may differ by in half precision: the normalised mean squared error against
plain MLX in float32 on the same numbers. Rounding what is stored alone is near 1e-7. In float32 it is 1e-10 for all, a
relative error of 1e-5.
"""

from __future__ import annotations

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metal.compare import assert_same
from tests.metal.draw import MAKERS
from tests.metal.structures import CONVS, DEPTHWISES, NARROW, PHASED, TOTALS, WINOGRAD

FLOAT32 = 1e-10
FLOAT16 = {
    **dict.fromkeys(CONVS, 1e-6),
    **dict.fromkeys(NARROW, 1e-5),  # of few numbers, the error of one that nearly cancels weighs more
    **dict.fromkeys(WINOGRAD, 3e-5),
    **dict.fromkeys(PHASED, 1e-6),
    **dict.fromkeys(DEPTHWISES, 1e-6),
    **dict.fromkeys(TOTALS, 1e-6),
    "extreme": 1e-6,
    "paste": 0.0,
    "odd paste": 0.0,
    "norm": 1e-10,
    "norm of three": 1e-10,
    "followed norm": 1e-10,
    "attention": 3e-6,
    "sliced attention": 3e-6,
    "wide attention": 3e-6,
    "wider attention": 3e-6,
    "odd attention": 3e-6,
}

SEEDS = st.integers(0, 2**20)


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "shared", "narrow", "winograd", "odd phases", "total", "pooling", "paste"),
        *("norm", "followed norm", "odd attention"),
    ],
)
def test_one_call_of_each_kernel(name: str) -> None:
    call, launch = MAKERS[name](3, mx.float32)
    assert_same(call, FLOAT32, launch)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@given(SEEDS, st.integers(0, 3))
def test_float32(name: str, seed: int, order: int) -> None:
    call, launch = MAKERS[name](seed, mx.float32)
    assert_same(call, FLOAT32, launch, order)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@given(SEEDS)
def test_float16(name: str, seed: int) -> None:
    call, launch = MAKERS[name](seed, mx.float16)
    assert_same(call, FLOAT16[name], launch)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CONVS, *NARROW, *WINOGRAD, *PHASED, *TOTALS, *DEPTHWISES])
def test_the_usual_shape_of_a_threadgroup(name: str) -> None:
    for seed in range(3):
        call, _ = MAKERS[name](seed, mx.float32)
        launch = call.launch()
        if launch is not None:
            assert_same(call, FLOAT32, launch)
