"""The sampler of Progressive Distillation against DDIM on the same levels, and against exact solutions."""

from __future__ import annotations

import math
from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.samplers import cosine_log_snr, ddim_step, log_snrs, noised, pd_image, pd_step
from tests.reference import case_names, load_case

X0, EPS = np.random.default_rng(7).uniform(-1, 1, (2, 1, 5, 6, 3))
levels = st.floats(-20, 20)


def alpha_sigma(log_snr: float) -> tuple[float, float]:
    """From the angle of the cosine schedule, another way than the sampler's."""
    angle = math.atan(math.exp(-log_snr / 2))
    return math.cos(angle), math.sin(angle)


def predicted(x0: np.ndarray, eps: np.ndarray) -> np.ndarray:
    return np.concatenate([x0, eps], axis=-1)


# ---- the schedule


def test_the_schedule_is_the_cosine_between_its_ends() -> None:
    assert cosine_log_snr(0) == pytest.approx(20) and cosine_log_snr(1) == pytest.approx(-20)
    assert cosine_log_snr(0.5) == pytest.approx(0, abs=1e-12)
    for u in (0.1, 0.3, 0.8):
        assert alpha_sigma(cosine_log_snr(u))[0] == pytest.approx(math.cos(math.pi * u / 2), abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1))
def test_log_snr_falls_with_time(u: float, v: float) -> None:
    if v - u > 1e-9:
        assert cosine_log_snr(u) > cosine_log_snr(v)


@given(st.integers(1, 64), st.floats(0.01, 1))
def test_levels_rise_from_the_strength_at_even_times(steps: int, strength: float) -> None:
    chosen = log_snrs(steps, strength)
    assert len(chosen) == steps and np.all(np.diff(chosen) > 0)
    assert chosen[0] == pytest.approx(cosine_log_snr(strength), abs=1e-9)
    times = [2 / math.pi * math.atan(math.exp(-level / 2)) for level in chosen]
    spacing = strength / steps
    np.testing.assert_allclose(np.diff([*times, 0]), -spacing, atol=1e-4)


def test_five_of_eight_steps_are_steps_of_eight() -> None:
    assert log_snrs(5, 5 / 8) == pytest.approx(log_snrs(8)[3:])


@pytest.mark.parametrize("name", case_names("pd"))
def test_frozen_inputs_are_noised_the_same_way(name: str) -> None:
    case = load_case(name)
    for image, x in (("original", "x_original"), ("edited", "x_edited")):
        found = noised(case[image], float(case["timestep"]), case["noise"])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, case[x], rtol=0, atol=1e-6)


# ---- steps


@given(levels, st.sampled_from([0.1, 1.0, 5.0, math.inf]))
def test_a_network_that_knows_the_image_stays_on_its_line(log_snr: float, up: float) -> None:
    x = noised(X0, log_snr, EPS)
    stepped = pd_step(x, predicted(X0, EPS), log_snr, log_snr + up)
    np.testing.assert_allclose(stepped, noised(X0, log_snr + up, EPS), atol=1e-9)


@given(levels)
def test_the_two_predictions_are_weighted_by_noise_and_signal(log_snr: float) -> None:
    """Wrong by d as an image and by e as noise, x̂ is wrong by σ² d - α σ e: section 4's weights are 1 and the SNR."""
    alpha, sigma = alpha_sigma(log_snr)
    d, e = 0.01, -0.02
    image = pd_image(noised(0.5 * X0, log_snr, EPS), predicted(0.5 * X0 + d, EPS + e), log_snr)
    np.testing.assert_allclose(image - 0.5 * X0, sigma**2 * d - alpha * sigma * e, atol=1e-9)


def test_images_are_clipped() -> None:
    image = pd_image(noised(3 * X0, 0.0, EPS), predicted(3 * X0, EPS), 0.0)
    np.testing.assert_allclose(image, np.clip(3 * X0, -1, 1), atol=1e-12)


@given(levels, st.floats(0.01, 10))
def test_it_is_ddim_at_the_same_signal(log_snr: float, up: float) -> None:
    """DDIM on a schedule of two timesteps, with the noise that the predicted image means."""
    output = predicted(0.3 * X0, 0.7 * EPS)
    x = noised(X0, log_snr, EPS)
    image = pd_image(x, output, log_snr)
    alpha, sigma = alpha_sigma(log_snr)
    eps = (x - alpha * image) / sigma
    schedule = np.array([alpha_sigma(level)[0] ** 2 for level in (log_snr + up, log_snr)])
    expected = ddim_step(x, eps, 1, 0, schedule)
    np.testing.assert_allclose(pd_step(x, output, log_snr, log_snr + up), expected, rtol=1e-6, atol=1e-6)


def gaussian(variance: float) -> tuple[float, float]:
    """x at the clean end from x at the noisy end, and what 400 steps make of it, where images are N(0, variance) and
    the network gives the posterior means. The probability flow then only scales: x(λ) = x(λ') · s(λ) / s(λ'), with s
    the standard deviation of x_λ."""
    steps = 400

    def deviation(log_snr: float) -> float:
        alpha, sigma = alpha_sigma(log_snr)
        return math.sqrt(alpha**2 * variance + sigma**2)

    chosen = [*log_snrs(steps, 0.9), math.inf]
    x = np.full((1, 1, 1, 1), 0.2)
    exact = 0.2 * math.sqrt(variance) / deviation(chosen[0])
    for level, following in pairwise(chosen):
        alpha, sigma = alpha_sigma(level)
        mean = alpha * variance / deviation(level) ** 2 * x
        x = pd_step(x, predicted(mean, (x - alpha * mean) / sigma), level, following)
    return exact, float(x.item())


@pytest.mark.parametrize("variance", [0.1, 0.5, 2.0])
def test_many_steps_solve_the_gaussian_case(variance: float) -> None:
    exact, found = gaussian(variance)
    assert found == pytest.approx(exact, rel=0.01)


# ---- as all samplers


@pytest.mark.parametrize("make", [np.asarray, mx.array], ids=["numpy", "mlx"])
def test_steps_are_pure_and_keep_float32(make: object) -> None:
    x, output = (make(v.astype(np.float32)) for v in (X0, predicted(X0, EPS)))
    before = np.array(x)
    first, second = (pd_step(x, output, -1.5, 0.5) for _ in range(2))
    assert first.dtype == x.dtype == noised(x, 2.0, x).dtype
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    np.testing.assert_array_equal(np.asarray(x), before)


@pytest.mark.parametrize("following", [-1.0, -2.0, math.nan])
def test_steps_go_up(following: float) -> None:
    with pytest.raises(SigeError, match="must go up"):
        pd_step(X0, predicted(X0, EPS), -1.0, following)


def test_an_output_of_one_head_is_refused() -> None:
    with pytest.raises(SigeError, match=r"3 channels: an image and noise have 6"):
        pd_step(X0, EPS, 0.0, 1.0)


@pytest.mark.parametrize(
    ("steps", "strength", "words"),
    [(0, 0.5, "steps is 0"), (5.0, 0.5, "steps is 5.0"), (5, 0.0, "strength"), (5, 1.1, "strength")],
)
def test_numbers_out_of_range(steps: int, strength: float, words: str) -> None:
    with pytest.raises(SigeError, match=words):
        log_snrs(steps, strength)


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan])
def test_times_out_of_range(u: float) -> None:
    with pytest.raises(SigeError, match="the time is"):
        cosine_log_snr(u)
