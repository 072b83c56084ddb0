"""Ancestral sampling of DDPM (Ho et al. 2020, "Denoising Diffusion Probabilistic Models")."""

from __future__ import annotations

from sige_mlx.samplers.schedule import Array, Schedule, step_alphas


def ddpm_step(x: Array, eps: Array, t: int, t_next: int, schedule: Schedule, noise: Array) -> Array:
    """x at timestep `t_next` < t from x_t and the network's ε(x_t, t): Ho et al. 2020, algorithm 2, line 4.

    x_next = (x_t - β / √(1 - ᾱ_t) ε) / √(1 - β) + √(σ²) z, with the smaller variance of section 3.2 ("fixedsmall"):
    σ² = (1 - ᾱ_next) / (1 - ᾱ_t) · β. Across skipped timesteps β = 1 - ᾱ_t / ᾱ_next. `schedule` holds ᾱ; `noise` is z,
    standard normal like x, and has no effect on the last step (t_next < 0).
    """
    a, a_next = step_alphas(schedule, t, t_next)
    beta = 1 - a / a_next
    variance = (1 - a_next) / (1 - a) * beta
    scale = (1 - beta) ** -0.5
    drawn: Array = scale * x - scale * beta / (1 - a) ** 0.5 * eps + variance**0.5 * noise
    return drawn
