"""The last checkpoint of a DDPM's run as a published one: weights, configuration and model card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from .ddpm_training import STEPS, DDPMTrainer
from .model_card import recent_loss, write_card

NAME = "blue-marble-128"
EDIT_SETTINGS = {"eps": 0.01, "mask_dilate_radius": 5}  # the family's
SPARSE_RESOLUTION_THRESHOLD = 32  # half the work of this network is below 64
RECENT = 1000  # steps


def export_ddpm(trainer: DDPMTrainer, folder: Path) -> None:
    """`blue-marble-128.pth` (`{"model", "ema"}`, for `sige-mlx convert`), its configuration, and `README.md`."""
    if not trainer.history:
        raise ValueError("nothing to export: the run has no checkpoint with a reported loss")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"model": trainer.net.state_dict(), "ema": trainer.ema}
    contiguous = {key: {name: value.contiguous() for name, value in state.items()} for key, state in weights.items()}
    torch.save(contiguous, folder / f"{NAME}.pth")

    net = trainer.plan.net
    described = asdict(net)
    image_size = described.pop("image_size")
    model = {**described, "sparse_resolution_threshold": SPARSE_RESOLUTION_THRESHOLD}
    config = {"model": model, "image_size": image_size, **EDIT_SETTINGS}
    (folder / f"{NAME}.config.json").write_text(json.dumps(config, indent=1) + "\n")

    write_card(
        trainer,
        NAME,
        folder,
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
