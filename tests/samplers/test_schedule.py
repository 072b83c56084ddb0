"""The noise schedule, the choice of timesteps, and noising in closed form."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.samplers import alpha_cumprod, alphas_cumprod, linear_betas, most_steps, q_sample, timesteps
from tests.reference import case_names, load_case

SCHEDULE = alphas_cumprod(linear_betas())


def test_linear_betas_and_their_product() -> None:
    assert SCHEDULE.dtype == np.float64 and SCHEDULE.shape == (1000,)
    product = 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert SCHEDULE[t] == pytest.approx(product, rel=1e-12)


def test_the_clean_image_has_all_its_signal() -> None:
    assert alpha_cumprod(SCHEDULE, -1) == alpha_cumprod(SCHEDULE, -50) == 1.0
    assert alpha_cumprod(SCHEDULE, 999) == SCHEDULE[999]
    with pytest.raises(SigeError, match=r"timestep 1000 .* 999"):
        alpha_cumprod(SCHEDULE, 1000)


def test_fifty_steps_from_noise_level_500() -> None:
    assert timesteps(50, strength=0.5) == list(range(490, -1, -10))


def test_frozen_trajectory_takes_the_same_timesteps(reference: Path) -> None:
    assert timesteps(10, strength=0.5) == load_case("ddpm-small-trajectory")["timesteps"].tolist()


@given(st.integers(1, 1000), st.floats(0.001, 1))
def test_timesteps_fall_evenly_to_zero(steps: int, strength: float) -> None:
    start = round(strength * 1000)
    if steps > start:
        with pytest.raises(SigeError, match=f"from 1 to {start}, which is all that strength .* has room for"):
            timesteps(steps, strength)
        return
    chosen = timesteps(steps, strength)
    assert len(chosen) == steps and chosen[0] < start
    if steps == 1:
        return
    assert chosen[-1] == 0
    spacings = -np.diff([start, *chosen])
    assert spacings.min() >= 1 and spacings.max() - spacings.min() <= 1


@pytest.mark.parametrize("strength", [0, -0.1, 1.01, float("nan"), float("inf"), "0.5", True, None, 1j])
def test_strength_is_a_share(strength: float) -> None:
    with pytest.raises(SigeError, match=r"^the strength is .*: it must be .*above 0 and at most 1$"):
        timesteps(10, strength)


def test_no_steps() -> None:
    with pytest.raises(SigeError, match="the number of steps is 0"):
        timesteps(0)


@pytest.mark.parametrize(("strength", "t"), [(0.001, 0), (0.002, 1), (0.5, 250), (1, 500)])
def test_one_step_is_taken_from_the_middle(strength: float, t: int) -> None:
    """At 0 there is no noise: the step would return what it was given."""
    assert timesteps(1, strength) == [t]


@pytest.mark.parametrize("steps", [2.0, "2", True, None, np.float32(2)])
def test_steps_are_whole_numbers(steps: object) -> None:
    with pytest.raises(SigeError, match=r"^the number of steps is .*: it must be a whole number, from 1 to 500, which"):
        timesteps(steps, 0.5)  # type: ignore[arg-type]


def test_numpys_numbers_are_numbers() -> None:
    assert timesteps(np.int64(4), np.float32(0.5)) == timesteps(4, 0.5)  # type: ignore[arg-type]


def test_a_strength_below_every_timestep() -> None:
    with pytest.raises(SigeError, match=r"^the strength is 0.0004: below 0.001 it leaves no timestep to begin at$"):
        most_steps(0.0004)


@pytest.mark.parametrize("name", [name for name in case_names("ddpm") if not name.endswith("trajectory")])
def test_frozen_inputs_are_noised_the_same_way(name: str) -> None:
    case = load_case(name)
    for image, noised in (("original", "x_original"), ("edited", "x_edited")):
        x = q_sample(case[image], int(case["timestep"]), case["noise"], SCHEDULE)
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, case[noised], rtol=0, atol=5e-7)


def test_noising_to_before_the_start_changes_nothing() -> None:
    image, noise = np.random.default_rng(0).standard_normal((2, 1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(q_sample(image, -1, noise, SCHEDULE), image)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_mlx_arrays_keep_their_type(dtype: mx.Dtype) -> None:
    image, noise = np.random.default_rng(0).standard_normal((2, 1, 4, 4, 3), np.float32)
    x = q_sample(mx.array(image, dtype), 490, mx.array(noise, dtype), SCHEDULE)
    assert x.dtype == dtype
    expected = q_sample(image, 490, noise, SCHEDULE)
    np.testing.assert_allclose(np.asarray(x), expected, atol=1e-6 if dtype == mx.float32 else 5e-3)
