"""What a training run leaves to look at: its losses as CSV and picture, and grids of pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def write_losses(history: list[dict[str, float]], folder: Path, curves: Mapping[str, str]) -> None:
    """`loss.csv` of the rows that `Trainer.history` holds, and `loss.png` of some columns: `curves` names them."""
    with (folder / "loss.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for column, label in curves.items():
        rows = [row for row in history if not math.isnan(row[column])]
        style = "-" if len(rows) == len(history) else "o-"
        axes.plot([row["step"] for row in rows], [row[column] for row in rows], style, lw=0.8, ms=3, label=label)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


def write_grid(pictures: np.ndarray, columns: int, path: Path) -> None:
    """Pictures, uint8 `[N, H, W, 3]`, in rows of `columns`, as one PNG."""
    count, height, width, _ = pictures.shape
    rows = pictures.reshape(count // columns, columns, height, width, 3).swapaxes(1, 2)
    Image.fromarray(rows.reshape(-1, columns * width, 3)).save(path)
