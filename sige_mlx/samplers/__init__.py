"""Samplers: one pure function a step, on `mx.array` or `np.ndarray` alike; noise is always an argument."""

from sige_mlx.samplers.ddim import ddim_step
from sige_mlx.samplers.ddpm import ddpm_step
from sige_mlx.samplers.schedule import alpha_cumprod, alphas_cumprod, linear_betas, q_sample, timesteps

__all__ = ["alpha_cumprod", "alphas_cumprod", "ddim_step", "ddpm_step", "linear_betas", "q_sample", "timesteps"]
