"""The run's last checkpoint as a published one: weights, configuration and a model card filled in from the run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from string import Template

import torch

from .blue_marble import HELD_OUT, LATITUDES
from .ddpm_training import STEPS, Trainer

NAME = "blue-marble-128"
EDIT_SETTINGS = {"eps": 0.01, "mask_dilate_radius": 5}  # the family's
SPARSE_RESOLUTION_THRESHOLD = 32  # half the work of this network is below 64


def export_model(trainer: Trainer, folder: Path) -> None:
    """`blue-marble-128.pth` (`{"model", "ema"}`, for `sige-mlx convert`), its configuration, and `README.md`."""
    if not trainer.history:
        raise ValueError("nothing to export: the run has no checkpoint with a reported loss")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"model": trainer.net.state_dict(), "ema": trainer.ema}
    contiguous = {key: {name: value.contiguous() for name, value in state.items()} for key, state in weights.items()}
    torch.save(contiguous, folder / f"{NAME}.pth")

    net = asdict(trainer.plan.net)
    image_size = net.pop("image_size")
    model = {**net, "sparse_resolution_threshold": SPARSE_RESOLUTION_THRESHOLD}
    config = {"model": model, "image_size": image_size, **EDIT_SETTINGS}
    (folder / f"{NAME}.config.json").write_text(json.dumps(config, indent=1) + "\n")

    template = Template(Path(__file__).with_name(f"MODEL_CARD.{NAME}.md").read_text())
    (folder / "README.md").write_text(template.substitute(card_figures(trainer)))


def card_figures(trainer: Trainer, loss_steps: int = 1000) -> dict[str, str]:
    """Every figure of the model card, from the run itself; the held-out loss is measured here."""
    plan, net = trainer.plan, trainer.plan.net
    recent = [row["loss"] for row in trainer.history if row["step"] > trainer.step - loss_steps]
    return {
        "ch": str(net.ch),
        "ch_mult": str(net.ch_mult),
        "num_res_blocks": str(net.num_res_blocks),
        "attn_resolutions": ", ".join(f"{r} x {r}" for r in net.attn_resolutions),
        "parameters": f"{sum(p.numel() for p in trainer.net.parameters()) / 1e6:.2f}",
        "timesteps": str(STEPS),
        "north": _degrees(LATITUDES[1], "N", "S"),
        "south": _degrees(LATITUDES[0], "N", "S"),
        "west": _degrees(HELD_OUT[0], "E", "W"),
        "east": _degrees(HELD_OUT[1], "E", "W"),
        "held_out_crops": str(len(trainer.held_out)),
        "phases": _phases(trainer),
        "ema": f"{plan.ema:g}",
        "seed": str(plan.seed),
        "steps": str(trainer.step),
        "cpu_hours": f"{trainer.cpu_seconds / 3600:.1f}",
        "loss": f"{math.fsum(recent) / len(recent):.4f}",
        "loss_steps": str(min(loss_steps, trainer.step)),
        "favoured": str(plan.favoured),
        "held_out_loss": f"{trainer.held_out_loss():.4f}",
    }


def _phases(trainer: Trainer) -> str:
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
