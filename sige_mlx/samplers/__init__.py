"""Samplers: one pure function a step, on `mx.array` or `np.ndarray` alike; noise is always an argument."""

from sige_mlx.samplers.ddim import ddim_step
from sige_mlx.samplers.ddpm import ddpm_step
from sige_mlx.samplers.dpm_solver import dpm_solver_step, dpm_solver_timesteps, predicted_image
from sige_mlx.samplers.pd import cosine_log_snr, log_snrs, noised, pd_image, pd_step
from sige_mlx.samplers.schedule import alpha_cumprod, alphas_cumprod, linear_betas, most_steps, q_sample, timesteps

__all__ = [
    "alpha_cumprod",
    "alphas_cumprod",
    "cosine_log_snr",
    "ddim_step",
    "ddpm_step",
    "dpm_solver_step",
    "dpm_solver_timesteps",
    "linear_betas",
    "log_snrs",
    "most_steps",
    "noised",
    "pd_image",
    "pd_step",
    "predicted_image",
    "q_sample",
    "timesteps",
]
