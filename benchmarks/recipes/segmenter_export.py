"""The last checkpoint of a segmenter's run as the package has it, with its card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from .model_card import recent_loss, write_card
from .segmenter_training import SegmenterTrainer

NAME = "blue-marble-segmenter"
RECENT = 200  # steps


def export_segmenter(trainer: SegmenterTrainer, labels: Sequence[str], folder: Path) -> None:
    """The new folder `blue-marble-segmenter`: `model.safetensors`, float16, convolutions as (O, kH, kW, I), and
    `README.md`."""
    if not trainer.history:
        raise ValueError("nothing to export: the run has no checkpoint with a reported loss")
    model = folder / NAME
    model.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.numpy().astype(np.float16) for name, value in trainer.ema_net().state_dict().items()}
    laid_out = {name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for name, value in tensors.items()}
    save_file({name: np.ascontiguousarray(value) for name, value in laid_out.items()}, model / "model.safetensors")

    iou = trainer.held_out_iou()
    shares = iou.confusion.sum(1) / iou.confusion.sum()
    rows = zip(labels, iou.of_classes, shares, strict=True)
    write_card(
        trainer,
        NAME,
        model,
        widths=", ".join(map(str, trainer.plan.net.widths)),
        label_count=len(labels),
        held_out_crops=len(trainer.held_out[0]),
        loss=recent_loss(trainer, "loss", RECENT),
        loss_steps=min(RECENT, trainer.step),
        miou=f"{100 * iou.mean:.1f} %",
        right=f"{np.trace(iou.confusion) / iou.confusion.sum():.1%}",
        ious="\n".join(f"| {name} | {_percent(of)} | {share:.1%} |" for name, of, share in rows),
    )


def _percent(share: float) -> str:
    return "not there" if math.isnan(share) else f"{100 * share:.1f} %"
