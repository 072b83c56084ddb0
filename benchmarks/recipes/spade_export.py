"""The last checkpoint of a SPADE generator's run as a published one, and as a model of the package with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from sige_mlx.converters import convert

from .model_card import recent_loss, write_card
from .spade_training import SPADETrainer

NAME = "blue-marble-labels-256"
RECENT = 200  # steps


def export_spade(trainer: SPADETrainer, labels: Mapping[str, tuple[int, int, int]], folder: Path) -> None:
    """`blue-marble-labels-256.pth` (a bare state dict like GauGAN's), and the new folder `blue-marble-labels-256`: what
    it converts to, names and colours of the `labels` in `labels.json`, and `README.md`."""
    if not trainer.history:
        raise ValueError("nothing to export: the run has no checkpoint with a reported loss")
    folder.mkdir(parents=True, exist_ok=True)
    weights = trainer.ema_net().state_dict()
    torch.save({name: value.contiguous() for name, value in weights.items()}, folder / f"{NAME}.pth")

    plan, net = trainer.plan, trainer.plan.net
    model = folder / NAME
    convert(folder / f"{NAME}.pth", model, dtype="float16", settings=asdict(net))
    colours = ",\n".join(f" {json.dumps(name)}: {json.dumps(colour)}" for name, colour in labels.items())
    (model / "labels.json").write_text(f"{{\n{colours}\n}}\n")

    write_card(
        trainer,
        NAME,
        model,
        ngf=net.ngf,
        nhidden=net.nhidden,
        labels="\n".join(f"| {i} | {name} | {_hex(c)} |" for i, (name, c) in enumerate(labels.items())),
        label_count=len(labels),
        held_out_crops=len(trainer.held_out[0]),
        restart=plan.restarts[0],
        outlines_from=plan.outlines_from,
        discriminators=f"{plan.scales} scales, {' → '.join(map(str, plan.widths))} channels",
        colour=recent_loss(trainer, "colour", RECENT),
        texture=recent_loss(trainer, "texture", RECENT),
        loss_steps=min(RECENT, trainer.step),
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()
