"""What a training run leaves to look at: the loss curve as CSV and picture, and a grid of samples."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from tests.torch_models.ddpm_unet import DDPMUNet

from .blue_marble import to_picture
from .ddpm_training import ALPHAS_CUMPROD, STEPS, as_nchw

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def write_loss_curve(history: list[dict[str, float]], folder: Path) -> None:
    """`loss.csv` and `loss.png` of the rows that `Trainer.history` holds."""
    with (folder / "loss.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    evaluated = [row for row in history if not math.isnan(row["held_out_loss"])]
    for rows, key, style, label in (
        (history, "loss", "-", "training"),
        (evaluated, "held_out_loss", "o-", "held out, averaged weights"),
    ):
        axes.plot([row["step"] for row in rows], [row[key] for row in rows], style, lw=0.8, ms=3, label=label)
    axes.set(xlabel="step", ylabel="mean squared error of eps", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


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
    images = to_picture(ddim(net, as_nchw(noise), timesteps).permute(0, 2, 3, 1).numpy())
    grid = images.reshape(rows, columns, size, size, 3).swapaxes(1, 2).reshape(rows * size, columns * size, 3)
    Image.fromarray(grid).save(path)
