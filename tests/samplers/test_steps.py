"""DDIM and DDPM steps against the distributions they are derived from, in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.samplers import alphas_cumprod, ddim_step, ddpm_step, linear_betas, q_sample, timesteps

SCHEDULE = alphas_cumprod(linear_betas())
X0, EPS, Z = np.random.default_rng(7).standard_normal((3, 1, 5, 6, 3))


@st.composite
def steps(draw: st.DrawFn) -> tuple[int, int]:
    """t and an earlier timestep, or -1."""
    t = draw(st.integers(0, 999))
    return t, draw(st.integers(-1, t - 1))


def posterior(x0: np.ndarray, x: np.ndarray, t: int, t_next: int) -> tuple[np.ndarray, float]:
    """Mean and variance of q(x_next | x_t, x_0), by conditioning one Gaussian on another.

    The prior of x_next is q(x_next | x_0); it is observed through x_t = √(1 - β) x_next + √β z.
    """
    a_next = SCHEDULE[t_next] if t_next >= 0 else 1.0
    alpha = SCHEDULE[t] / a_next
    prior_mean, prior_variance = np.sqrt(a_next) * x0, 1 - a_next
    gain = prior_variance * np.sqrt(alpha) / (alpha * prior_variance + 1 - alpha)
    return prior_mean + gain * (x - np.sqrt(alpha) * prior_mean), prior_variance * (1 - gain * np.sqrt(alpha))


@given(steps())
def test_ddpm_draws_from_the_posterior(step: tuple[int, int]) -> None:
    x = q_sample(X0, step[0], EPS, SCHEDULE)
    mean, variance = posterior(X0, x, *step)
    np.testing.assert_allclose(ddpm_step(x, EPS, *step, SCHEDULE, Z), mean + np.sqrt(variance) * Z, atol=1e-9)


@given(steps())
def test_ddim_with_eta_1_is_ddpm(step: tuple[int, int]) -> None:
    x = q_sample(X0, step[0], EPS, SCHEDULE)
    ddim = ddim_step(x, EPS, *step, SCHEDULE, eta=1.0, noise=Z)
    np.testing.assert_allclose(ddim, ddpm_step(x, EPS, *step, SCHEDULE, Z), atol=1e-9)


@given(steps())
def test_ddim_with_eta_0_and_the_true_noise_stays_on_its_line(step: tuple[int, int]) -> None:
    x = q_sample(X0, step[0], EPS, SCHEDULE)
    np.testing.assert_allclose(ddim_step(x, EPS, *step, SCHEDULE), q_sample(X0, step[1], EPS, SCHEDULE), atol=1e-9)


@given(steps(), st.floats(0, 1))
def test_ddim_keeps_the_marginal_variance(step: tuple[int, int], eta: float) -> None:
    """With x_0 = 0, x_next must have variance 1 - ā_next whatever eta: eq. 7 and appendix B."""
    t, t_next = step
    unit, zero = np.ones(1), np.zeros(1)
    from_eps = ddim_step(np.sqrt(1 - SCHEDULE[t]) * unit, unit, t, t_next, SCHEDULE, eta, zero)
    from_noise = ddim_step(zero, zero, t, t_next, SCHEDULE, eta, unit)
    a_next = SCHEDULE[t_next] if t_next >= 0 else 1.0
    np.testing.assert_allclose(from_eps**2 + from_noise**2, 1 - a_next, atol=1e-9)
    expected = eta * np.sqrt((1 - a_next) / (1 - SCHEDULE[t])) * np.sqrt(1 - SCHEDULE[t] / a_next)
    np.testing.assert_allclose(from_noise, expected, atol=1e-9)


def test_the_last_step_gives_the_predicted_image_and_no_noise() -> None:
    x = q_sample(X0, 0, EPS, SCHEDULE)
    wrong = EPS + 0.5
    predicted = (x - np.sqrt(1 - SCHEDULE[0]) * wrong) / np.sqrt(SCHEDULE[0])
    for drawn in (
        ddim_step(x, wrong, 0, -1, SCHEDULE),
        ddim_step(x, wrong, 0, -1, SCHEDULE, eta=1.0, noise=Z),
        ddpm_step(x, wrong, 0, -1, SCHEDULE, Z),
    ):
        np.testing.assert_allclose(drawn, predicted, atol=1e-12)


def test_a_whole_trajectory_with_the_true_noise_recovers_the_image() -> None:
    chosen = timesteps(50, strength=0.5)
    x = mx.array(q_sample(X0, chosen[0], EPS, SCHEDULE).astype(np.float32))
    image, noise = mx.array(X0.astype(np.float32)), mx.array(EPS.astype(np.float32))
    for t, t_next in zip(chosen, [*chosen[1:], -1], strict=True):
        a = float(SCHEDULE[t])
        x = ddim_step(x, (x - a**0.5 * image) / (1 - a) ** 0.5, t, t_next, SCHEDULE)
    assert x.dtype == mx.float32
    np.testing.assert_allclose(np.asarray(x), X0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(q_sample(image, -1, noise, SCHEDULE)), X0, atol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, mx.array], ids=["numpy", "mlx"])
def test_steps_are_pure_and_keep_float32(make: object) -> None:
    x, eps, z = (make(values.astype(np.float32)) for values in (X0, EPS, Z))
    before = np.array(x)
    for step in (
        lambda: ddim_step(x, eps, 490, 480, SCHEDULE),
        lambda: ddim_step(x, eps, 490, 480, SCHEDULE, 0.3, z),
        lambda: ddpm_step(x, eps, 490, 480, SCHEDULE, z),
    ):
        first, second = step(), step()
        assert first.dtype == x.dtype
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    np.testing.assert_array_equal(np.asarray(x), before)


def test_noise_must_be_given() -> None:
    with pytest.raises(SigeError, match="noise"):
        ddim_step(X0, EPS, 490, 480, SCHEDULE, eta=0.5)


@pytest.mark.parametrize(("t", "t_next"), [(480, 490), (10, 10), (-1, -2)])
def test_steps_go_down(t: int, t_next: int) -> None:
    with pytest.raises(SigeError, match="go down"):
        ddim_step(X0, EPS, t, t_next, SCHEDULE)
    with pytest.raises(SigeError, match="go down"):
        ddpm_step(X0, EPS, t, t_next, SCHEDULE, Z)
