"""Pictures of a DDPM U-Net from pure noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.torch_models.ddpm_unet import DDPMUNet

from .blue_marble import to_picture
from .ddpm_training import ALPHAS_CUMPROD, STEPS
from .training import as_nchw
from .training_report import write_grid


@torch.inference_mode()
def ddim(net: DDPMUNet, x: torch.Tensor, timesteps: list[int]) -> torch.Tensor:
    """Deterministic DDIM (Song et al. 2021, equation 12 with sigma = 0) from x at `timesteps[0]` to a clean image."""
    alphas = torch.cat([ALPHAS_CUMPROD[timesteps], torch.ones(1)])
    for t, a, a_next in zip(timesteps, alphas[:-1], alphas[1:], strict=True):
        eps = net(x, torch.full((len(x),), t))
        clean = (x - (1 - a).sqrt() * eps) / a.sqrt()
        x = a_next.sqrt() * clean + (1 - a_next).sqrt() * eps
    return x


def write_samples(net: DDPMUNet, path: Path, columns: int = 4, rows: int = 2, steps: int = 25, seed: int = 0) -> None:
    """Pictures from pure noise, always the same noise, in one PNG."""
    size = net.config.image_size
    noise = np.random.default_rng(seed).standard_normal((columns * rows, size, size, 3), dtype=np.float32)
    timesteps = [STEPS * i // steps + STEPS // steps - 1 for i in reversed(range(steps))]
    images = ddim(net, as_nchw(noise), timesteps).permute(0, 2, 3, 1).numpy()
    write_grid(to_picture(images), columns, path)
