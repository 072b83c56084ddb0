"""DDIM (Song et al. 2021, "Denoising Diffusion Implicit Models")."""

from __future__ import annotations

from sige_mlx.errors import SigeError
from sige_mlx.samplers.schedule import Array, Schedule, step_alphas


def ddim_step(
    x: Array, eps: Array, t: int, t_next: int, schedule: Schedule, eta: float = 0.0, noise: Array | None = None
) -> Array:
    """x at timestep `t_next` < t from x_t and the network's ε(x_t, t): Song et al. 2021, eq. 12 and 16.

    x_next = √ᾱ_next x̂_0 + √(1 - ᾱ_next - σ²) ε + √(σ²) z,  x̂_0 = (x_t - √(1 - ᾱ_t) ε) / √ᾱ_t,
    σ² = η² (1 - ᾱ_next) / (1 - ᾱ_t) · (1 - ᾱ_t / ᾱ_next).
    `schedule` holds ᾱ; a negative `t_next` gives x̂_0. `noise` is z, standard normal like x, and needed when η > 0.
    """
    a, a_next = step_alphas(schedule, t, t_next)
    variance = eta**2 * (1 - a_next) / (1 - a) * (1 - a / a_next)
    # Both terms of ε are added up before they meet a float32: one pass over the image, one rounding.
    of_x = (a_next / a) ** 0.5
    of_eps = (1 - a_next - variance) ** 0.5 - of_x * (1 - a) ** 0.5
    mean: Array = of_x * x + of_eps * eps
    if eta == 0:
        return mean
    if noise is None:
        raise SigeError(f"a DDIM step with eta {eta} draws noise: pass `noise`, or eta 0")
    drawn: Array = mean + variance**0.5 * noise
    return drawn
