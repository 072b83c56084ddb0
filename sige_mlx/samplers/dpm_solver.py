"""DPM-Solver++ of order 2, multistep (Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling")."""

from __future__ import annotations

import math

import numpy as np

from sige_mlx.samplers.schedule import Array, Schedule, alpha_cumprod, first_timestep, step_alphas, timesteps

FEWEST = 4
"""Steps from which on they are even in λ."""


def dpm_solver_timesteps(steps: int, schedule: Schedule, strength: float = 1.0) -> list[int]:
    """Timesteps of the solver, falling, evenly spaced in λ = log(α / σ) rather than in t (the handcrafted steps of
    Lu et al. 2022, "DPM-Solver"), as far as whole numbers can be.

    `strength` in (0, 1] is the noise level to start from as a share of the schedule; the first timestep is the last
    below it, round(strength · total) - 1, the last one 0, from which the step goes to t = -1. Fewer than 4 steps are
    DDIM's, even in t: the first, of order 1, would have to go nearly all of the way at once, and leaves specks.
    """
    first = first_timestep(steps, strength, len(schedule))
    if steps < FEWEST:
        return timesteps(steps, strength, len(schedule))
    half_log_snr = 0.5 * np.log(schedule / (1 - schedule))
    wanted = np.linspace(half_log_snr[first], half_log_snr[0], steps)
    nearest = [int(np.abs(half_log_snr - value).argmin()) for value in wanted]
    # Near t = 0 a whole number is wider than a step, so several steps may share it: those above make room, …
    for i in reversed(range(steps - 1)):
        nearest[i] = max(nearest[i], nearest[i + 1] + 1)
    # … and where they have gone too far up, all go down again. There is room for at most one step a timestep.
    return [min(t, first - i) for i, t in enumerate(nearest)]


def predicted_image(x: Array, eps: Array, t: int, schedule: Schedule) -> Array:
    """x̂_0 = (x_t - √(1 - ᾱ_t) ε) / √ᾱ_t, the clean image that the network's ε(x_t, t) means."""
    a = alpha_cumprod(schedule, t)
    image: Array = (x - (1 - a) ** 0.5 * eps) / a**0.5
    return image


def dpm_solver_step(
    x: Array, image: Array, t: int, t_next: int, schedule: Schedule, previous: tuple[int, Array] | None = None
) -> Array:
    """x at timestep `t_next` < t from x_t and its predicted image x̂: Lu et al. 2022, algorithm 2.

    x_next = σ_next / σ_t x_t - α_next (exp(-h) - 1) D,  D = x̂ + h / (2 h_prev) (x̂ - x̂_prev),
    with α² = ᾱ, σ² = 1 - ᾱ, λ = log(α / σ), h = λ_next - λ_t, h_prev = λ_t - λ_prev. `previous` is the timestep
    before t and the image predicted there; without it D is x̂, the step of order 1, which is DDIM's. So it is in the
    step to the clean image (t_next < 0), where h is infinite. `schedule` holds ᾱ.
    """
    a, a_next = step_alphas(schedule, t, t_next)
    if t_next < 0:
        return image
    h = _half_log_snr(a_next) - _half_log_snr(a)
    of_x = ((1 - a_next) / (1 - a)) ** 0.5
    of_image = -(a_next**0.5) * math.expm1(-h)
    if previous is None:
        first: Array = of_x * x + of_image * image
        return first
    t_previous, image_previous = previous
    a_previous, _ = step_alphas(schedule, t_previous, t)
    slope = h / (2 * (_half_log_snr(a) - _half_log_snr(a_previous)))
    second: Array = of_x * x + of_image * (1 + slope) * image - of_image * slope * image_previous
    return second


def _half_log_snr(a: float) -> float:
    """log(α / σ) of ᾱ."""
    return 0.5 * math.log(a / (1 - a))
