"""A model card, filled in from the run it describes."""

from __future__ import annotations

import math
from pathlib import Path
from string import Template
from typing import Any

from .blue_marble import HELD_OUT, LATITUDES
from .training import Trainer


def write_card(trainer: Trainer[Any], name: str, folder: Path, **figures: object) -> None:
    """`README.md` in `folder`: `MODEL_CARD.<name>.md` with the run's figures, and with those of its family."""
    template = Template(Path(__file__).with_name(f"MODEL_CARD.{name}.md").read_text())
    known = {
        "parameters": f"{sum(p.numel() for p in trainer.net.parameters()) / 1e6:.2f}",
        "north": _degrees(LATITUDES[1], "N", "S"),
        "south": _degrees(LATITUDES[0], "N", "S"),
        "west": _degrees(HELD_OUT[0], "E", "W"),
        "east": _degrees(HELD_OUT[1], "E", "W"),
        "phases": _phases(trainer),
        "ema": f"{trainer.plan.ema:g}",
        "seed": str(trainer.plan.seed),
        "steps": str(trainer.step),
        "cpu_hours": f"{trainer.cpu_seconds / 3600:.1f}",
        "held_out_loss": f"{trainer.held_out_loss():.4f}",
    }
    (folder / "README.md").write_text(template.substitute(known, **figures))


def recent_loss(trainer: Trainer[Any], column: str, steps: int) -> str:
    """Mean of a column of the history over the last `steps`."""
    recent = [row[column] for row in trainer.history if row["step"] > trainer.step - steps]
    return f"{math.fsum(recent) / len(recent):.4f}"


def _phases(trainer: Trainer[Any]) -> str:
    """What has been done of each phase, which may be less than the plan."""
    left, done = trainer.step, []
    for phase in trainer.plan.phases:
        steps = min(left, phase.steps)
        left -= steps
        if steps:
            done.append(f"{steps} steps of {phase.batch} crops of {phase.size} x {phase.size}")
    return ", then ".join(done)


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}° {positive if value >= 0 else negative}"
