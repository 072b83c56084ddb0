"""DPM-Solver++ against DDIM, against exact solutions, and against its order of convergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.samplers import (
    alphas_cumprod,
    ddim_step,
    dpm_solver_step,
    dpm_solver_timesteps,
    linear_betas,
    predicted_image,
    q_sample,
    timesteps,
)

SCHEDULE = alphas_cumprod(linear_betas())
X0, EPS = np.random.default_rng(7).standard_normal((2, 1, 5, 6, 3))
ONE = np.ones((1, 1, 1, 1))


def half_log_snr(schedule: np.ndarray) -> np.ndarray:
    return np.log(np.sqrt(schedule) / np.sqrt(1 - schedule))


def fine(steps: int) -> np.ndarray:
    """ᾱ of a schedule that is even in λ from 2.5 down to -2.5."""
    return 1 / (1 + np.exp(-2 * np.linspace(2.5, -2.5, steps + 1)))


# ---- the timesteps


@given(st.integers(1, 1000), st.floats(0.001, 1))
def test_timesteps_fall_from_below_the_strength_to_zero(steps: int, strength: float) -> None:
    start = round(strength * 1000)
    if steps > start:
        with pytest.raises(SigeError, match=f"from 1 to {start}, which is all"):
            dpm_solver_timesteps(steps, SCHEDULE, strength)
        return
    chosen = dpm_solver_timesteps(steps, SCHEDULE, strength)
    if steps < 4:
        assert chosen == timesteps(steps, strength)
        return
    assert len(chosen) == steps and chosen[0] == start - 1
    assert all(a > b for a, b in pairwise(chosen))
    assert chosen[-1] == 0


@pytest.mark.parametrize(("steps", "strength"), [(5, 1.0), (10, 0.5), (12, 0.8)])
def test_timesteps_are_even_in_log_snr(steps: int, strength: float) -> None:
    values = half_log_snr(SCHEDULE)
    chosen = dpm_solver_timesteps(steps, SCHEDULE, strength)
    wanted = np.linspace(values[chosen[0]], values[0], steps)
    for t, value in zip(chosen, wanted, strict=True):
        nearer = [abs(values[t + d] - value) for d in (-1, 1) if 0 <= t + d < 1000]
        assert abs(values[t] - value) <= min(nearer)


# ---- steps


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_an_image_that_is_known_is_a_fixed_line(one: int, other: int, third: int) -> None:
    """With the true image at every level, order 1 and order 2 are exact."""
    t_next, t, t_previous = sorted({one, other, third, 1000})[:3] if len({one, other, third}) == 3 else (3, 40, 800)
    x = q_sample(X0, t, EPS, SCHEDULE)
    for previous in (None, (t_previous, X0)):
        stepped = dpm_solver_step(x, X0, t, t_next, SCHEDULE, previous)
        np.testing.assert_allclose(stepped, q_sample(X0, t_next, EPS, SCHEDULE), atol=1e-9)


@given(st.integers(1, 999), st.data())
def test_order_1_is_ddim(t: int, data: st.DataObject) -> None:
    t_next = data.draw(st.integers(-1, t - 1))
    x = q_sample(X0, t, EPS, SCHEDULE)
    wrong = 0.7 * EPS + 0.1
    stepped = dpm_solver_step(x, predicted_image(x, wrong, t, SCHEDULE), t, t_next, SCHEDULE)
    np.testing.assert_allclose(stepped, ddim_step(x, wrong, t, t_next, SCHEDULE), atol=1e-9)


@pytest.mark.parametrize(("t_previous", "t", "t_next"), [(900, 600, 420), (499, 374, 246), (40, 12, 0)])
def test_order_2_is_that_of_images_linear_in_log_snr(t_previous: int, t: int, t_next: int) -> None:
    """x(λ') = σ'/σ x + σ' ∫ exp(l) x̂(l) dl over λ … λ' (Lu et al. 2022, proposition 4.1). For x̂ = p + q (l - λ) the
    integral is α' ((1 - exp(-h)) p + (h - 1 + exp(-h)) q); the step of order 2 has q h / 2 (1 - exp(-h)) for the second
    part, which is the same to h²."""
    lam = half_log_snr(SCHEDULE)
    p, q = 0.4, 0.03
    h = lam[t_next] - lam[t]
    x, image = 0.8 * ONE, p * ONE
    previous = (t_previous, (p + q * (lam[t_previous] - lam[t])) * ONE)
    found = dpm_solver_step(x, image, t, t_next, SCHEDULE, previous).item()
    alpha, sigma = math.sqrt(SCHEDULE[t_next]), math.sqrt(1 - SCHEDULE[t_next])
    constant = sigma / math.sqrt(1 - SCHEDULE[t]) * 0.8 + alpha * (1 - math.exp(-h)) * p
    assert found == pytest.approx(constant + alpha * (1 - math.exp(-h)) * q * h / 2, rel=1e-12)
    grid = np.linspace(lam[t], lam[t_next], 200_001)
    exact = constant + sigma * np.trapezoid(np.exp(grid) * q * (grid - lam[t]), grid)
    assert abs(found - exact) <= alpha * q * h**3 / 6


def gaussian_error(steps: int, order: int, variance: float) -> float:
    """|found - exact| after `steps` even steps in λ, where images are N(0, variance): the posterior mean of the image
    is α v / s² x, and the probability flow scales x by the standard deviation s = √(α² v + σ²)."""
    schedule = fine(steps)
    deviation = np.sqrt(schedule * variance + 1 - schedule)
    x, previous = ONE, None
    for t in range(steps, 0, -1):
        image = np.sqrt(schedule[t]) * variance / deviation[t] ** 2 * x
        x = dpm_solver_step(x, image, t, t - 1, schedule, previous if order == 2 else None)
        previous = t, image
    return abs(x.item() - deviation[0] / deviation[steps])


@pytest.mark.parametrize("variance", [0.1, 3.0])
@pytest.mark.parametrize("order", [1, 2])
def test_order_of_convergence(order: int, variance: float) -> None:
    """Twice the steps, 2^order times nearer."""
    errors = [gaussian_error(steps, order, variance) for steps in (80, 160, 320)]
    for coarse, finer in pairwise(errors):
        assert math.log2(coarse / finer) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("variance", [0.1, 3.0])
def test_ten_steps_of_order_2_beat_twenty_of_order_1(variance: float) -> None:
    assert gaussian_error(10, 2, variance) < gaussian_error(20, 1, variance)


def test_the_last_step_gives_the_predicted_image() -> None:
    x = q_sample(X0, 0, EPS, SCHEDULE)
    np.testing.assert_array_equal(dpm_solver_step(x, X0, 0, -1, SCHEDULE, (10, X0 + 1)), X0)


@given(st.integers(0, 999))
def test_the_predicted_image_is_what_noise_was_added_to(t: int) -> None:
    np.testing.assert_allclose(predicted_image(q_sample(X0, t, EPS, SCHEDULE), EPS, t, SCHEDULE), X0, atol=1e-9)


# ---- as all samplers


@pytest.mark.parametrize("make", [np.asarray, mx.array], ids=["numpy", "mlx"])
def test_steps_are_pure_and_keep_float32(make: Callable[[np.ndarray], mx.array]) -> None:
    x, eps = (make(values.astype(np.float32)) for values in (X0, EPS))
    before = np.array(x)
    image = predicted_image(x, eps, 300, SCHEDULE)
    first, second = (dpm_solver_step(x, image, 300, 200, SCHEDULE, (400, eps)) for _ in range(2))
    assert first.dtype == image.dtype == x.dtype
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    np.testing.assert_array_equal(np.asarray(x), before)


@pytest.mark.parametrize(("t", "t_next", "previous"), [(480, 490, None), (-1, -2, None), (300, 200, (300, X0))])
def test_steps_go_down(t: int, t_next: int, previous: tuple[int, np.ndarray] | None) -> None:
    with pytest.raises(SigeError, match="go down"):
        dpm_solver_step(X0, X0, t, t_next, SCHEDULE, previous)
