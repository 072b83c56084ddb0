"""The last checkpoint of a DDPM's run as a published one, and as a model of the package with its card."""

from __future__ import annotations

from pathlib import Path

import torch

from sige_mlx.converters import convert

from .ddpm_training import STEPS, DDPMTrainer
from .model_card import recent_loss, write_card

NAME = "blue-marble-128"
DENSE_FROM = 0.6  # of the arithmetic: from there on its tiles take as long (`python -m benchmarks.fidelity`)
RECENT = 1000  # steps


def export_ddpm(trainer: DDPMTrainer, folder: Path) -> None:
    """`blue-marble-128.pth` (`{"model", "ema"}`), and the new folder `blue-marble-128`: what it converts to, and
    `README.md`."""
    if not trainer.history:
        raise ValueError("nothing to export: the run has no checkpoint with a reported loss")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"model": trainer.net.state_dict(), "ema": trainer.ema}
    contiguous = {key: {name: value.contiguous() for name, value in state.items()} for key, state in weights.items()}
    torch.save(contiguous, folder / f"{NAME}.pth")

    net, settings = trainer.plan.net, {"dense_from": DENSE_FROM}
    checkpoint, model = folder / f"{NAME}.pth", folder / NAME
    convert(checkpoint, model, dtype="float16", image_size=net.image_size, settings=settings)

    write_card(
        trainer,
        NAME,
        model,
        ch=net.ch,
        ch_mult=net.ch_mult,
        num_res_blocks=net.num_res_blocks,
        attn_resolutions=", ".join(f"{r} x {r}" for r in net.attn_resolutions),
        timesteps=STEPS,
        held_out_crops=len(trainer.held_out),
        loss=recent_loss(trainer, "loss", RECENT),
        loss_steps=min(RECENT, trainer.step),
        favoured=trainer.plan.favoured,
    )
