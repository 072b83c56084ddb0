"""Sampling distilled networks (Salimans & Ho 2022, "Progressive Distillation for Fast Sampling of Diffusion Models").

A noise level is a log signal-to-noise ratio λ = log(α² / σ²) with α² + σ² = 1, the clean image is λ = ∞:
x_λ = α x_0 + σ ε.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError
from sige_mlx.samplers.schedule import Array

LIMIT = 20.0
"""The schedule goes from -20, almost all noise, to 20, almost none."""


def cosine_log_snr(u: float) -> float:
    """λ at time `u`, from 20 at 0 to -20 at 1, on the schedule α = cos(π u / 2) cut off at both ends: Ho & Salimans
    2022 ("Classifier-Free Diffusion Guidance"), section 2.

    λ = -2 log tan(a u + b),  b = arctan(exp(-λ_max / 2)),  a = arctan(exp(-λ_min / 2)) - b.
    """
    if not 0 <= u <= 1:
        raise SigeError(f"the time is {u}: it must be from 0, the clean image, to 1")
    b = math.atan(math.exp(-LIMIT / 2))
    a = math.atan(math.exp(LIMIT / 2)) - b
    return -2 * math.log(math.tan(a * u + b))


def log_snrs(steps: int, strength: float = 1.0) -> list[float]:
    """Noise levels of a sampler, rising, at evenly spaced times: λ(i · strength / steps) for i = steps, …, 1.

    `strength` in (0, 1] is the time to start from, as in SDEdit (Meng et al. 2022). A network distilled to N steps
    knows the times i / N alone: 5 steps of strength 5/8 are those of a network of 8. The step from the last goes to
    λ = ∞.
    """
    strength = real(strength, "the strength", 0, 1, above=True)
    steps = whole(steps, "the number of steps", 1)
    return [cosine_log_snr(i * strength / steps) for i in range(steps, 0, -1)]


def noised(x0: Array, log_snr: float, noise: Array) -> Array:
    """x_λ = α x_0 + σ ε (section 2): an image noised to level λ; x_0 itself at λ = ∞."""
    alpha, sigma = _alpha_sigma(log_snr)
    x: Array = alpha * x0 + sigma * noise
    return x


def pd_image(x: Array, output: Array, log_snr: float) -> Array:
    """The clean image that a network predicts both as x̃ and by the noise ε̃, first and second half of its `output`'s
    channels: x̂ = σ² x̃ + α (x_λ - σ ε̃) (section 4), clipped to [-1, 1]."""
    alpha, sigma = _alpha_sigma(log_snr)
    half = x.shape[-1]
    if output.shape[-1] != 2 * half:
        raise SigeError(f"the network's output has {output.shape[-1]} channels: an image and noise have {2 * half}")
    image = sigma**2 * output[..., :half] + alpha * (x - sigma * output[..., half:])
    clipped: Array = mx.clip(image, -1, 1) if isinstance(image, mx.array) else np.clip(image, -1, 1)
    return clipped


def pd_step(x: Array, output: Array, log_snr: float, log_snr_next: float) -> Array:
    """x at the cleaner level `log_snr_next` from x_λ and the network's output: the DDIM update of section 2.

    x_next = α_next x̂ + σ_next / σ (x_λ - α x̂), with x̂ from `pd_image`; at λ = ∞ it is x̂.
    """
    if not log_snr < log_snr_next:
        raise SigeError(f"a step from log SNR {log_snr:g} to {log_snr_next:g}: it must go up, towards the clean image")
    (alpha, sigma), (alpha_next, sigma_next) = _alpha_sigma(log_snr), _alpha_sigma(log_snr_next)
    of_x = sigma_next / sigma
    stepped: Array = of_x * x + (alpha_next - of_x * alpha) * pd_image(x, output, log_snr)
    return stepped


def _alpha_sigma(log_snr: float) -> tuple[float, float]:
    """α and σ, square roots of the logistic function of λ and of -λ."""
    alpha = (1 + math.exp(-log_snr)) ** -0.5
    return alpha, alpha * math.exp(-log_snr / 2)
