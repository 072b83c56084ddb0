"""The command line that all recipes share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from .training import Trainer
from .training_report import write_losses


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, looked at and published; a trainer may take a while to read its data."""

    trainer: Callable[[], Trainer[Any]]
    curves: Mapping[str, str]  # columns of the run's history, and what the picture of the losses calls them
    samples: Callable[[Any, Path], None]
    export: Callable[[Any, Path], None]
    sample_every: int = 1000

    def main(
        self,
        folder: Annotated[Path, typer.Argument(help="Checkpoint, loss curve and samples of the run.")],
        export: Annotated[Path | None, typer.Option(help="Train no further: write the model to this folder.")] = None,
    ) -> None:
        """Train the model, or export it."""
        torch.set_num_threads(2)
        if export is None:
            self.train(folder)
        else:
            trainer = self.trainer()
            trainer.load(folder)
            self.export(trainer, export)

    def train(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder` until the plan is done or SIGINT or SIGTERM asks for a pause."""
        folder.mkdir(parents=True, exist_ok=True)
        stopped: list[bool] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.append(True))

        def report(trainer: Trainer[Any]) -> None:
            print(" ".join(f"{key} {value:.5g}" for key, value in trainer.history[-1].items()), flush=True)
            write_losses(trainer.history, folder, self.curves)
            if trainer.step % self.sample_every == 0:
                self.samples(trainer, folder / f"samples-{trainer.step:06d}.png")

        self.trainer().run(folder, lambda: bool(stopped), report)
