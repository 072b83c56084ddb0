"""The noise schedule of DDPM (Ho et al. 2020, "Denoising Diffusion Probabilistic Models") and the steps taken on it.

Schedules are float64; the coefficients of a step are Python floats, so that images keep their own dtype.
"""

from __future__ import annotations

from typing import TypeVar

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError

Array = TypeVar("Array", mx.array, np.ndarray)
Schedule = npt.NDArray[np.float64]


def linear_betas(total: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """Variances of the forward process, linear in t (Ho et al. 2020, section 4): float64 [total]."""
    return np.linspace(first, last, total, dtype=np.float64)


def alphas_cumprod(betas: Schedule) -> Schedule:
    """ᾱ_t = Π (1 - β_s) over s ≤ t: the share of signal variance left at timestep t, float64."""
    return np.cumprod(1.0 - np.asarray(betas, np.float64), dtype=np.float64)


def alpha_cumprod(schedule: Schedule, t: int) -> float:
    """ᾱ_t of a schedule of ᾱ, and 1 (the clean image) for every t < 0, the time after the last step."""
    if t >= len(schedule):
        raise SigeError(f"timestep {t} is beyond the schedule, whose last is {len(schedule) - 1}")
    return float(schedule[t]) if t >= 0 else 1.0


def step_alphas(schedule: Schedule, t: int, t_next: int) -> tuple[float, float]:
    """(ᾱ_t, ᾱ_next) of a step towards the clean image; raises SigeError unless t_next < t and t ≥ 0."""
    if t < 0 or t_next >= t:
        raise SigeError(f"a step from timestep {t} to {t_next}: it must begin at 0 or above and go down")
    return alpha_cumprod(schedule, t), alpha_cumprod(schedule, t_next)


def timesteps(steps: int, strength: float = 1.0, total: int = 1000) -> list[int]:
    """Timesteps of a sampler, falling, evenly spaced and ending at 0: ⌊i · start / steps⌋ for i = steps - 1, …, 0.

    `strength` in (0, 1] is the noise level to start from as a share of the schedule, as in SDEdit (Meng et al. 2022):
    start = round(strength · total), and the first timestep lies one spacing below it. 50 steps of strength 0.5 over
    1000 are 490, 480, …, 0. A single step would have no noise to render from at 0: it is taken at ⌊start / 2⌋, the
    middle of what it goes over. The step from the last goes to t = -1.
    """
    start = first_timestep(steps, strength, total) + 1
    return [i * start // steps for i in reversed(range(steps))] if steps > 1 else [start // 2]


def first_timestep(steps: int, strength: float, total: int) -> int:
    """The noisiest timestep below `strength`, a share of `total`; raises SigeError where `steps` have no room."""
    start = most_steps(strength, total)
    whole(
        steps,
        "the number of steps",
        1,
        start,
        limits=f"from 1 to {start}, which is all that strength {strength} has room for",
    )
    return start - 1


def most_steps(strength: float, total: int = 1000) -> int:
    """How many of `total` timesteps lie below `strength`, a share of them; raises SigeError where none does."""
    start = round(real(strength, "the strength", 0, 1, above=True) * total)
    if start < 1:
        raise SigeError(f"the strength is {strength}: below {1 / total:g} it leaves no timestep to begin at")
    return start


def q_sample(x0: Array, t: int, noise: Array, schedule: Schedule) -> Array:
    """x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε (Ho et al. 2020, eq. 4): an image noised to timestep t; x_0 itself for t < 0."""
    a = alpha_cumprod(schedule, t)
    noised: Array = a**0.5 * x0 + (1 - a) ** 0.5 * noise
    return noised
