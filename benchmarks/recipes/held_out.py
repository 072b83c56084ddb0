"""The band of the Blue Marble that no model was trained on, and its label map, as the package has them for
`sige-mlx evaluate`.

    python -m benchmarks.recipes.held_out sige_mlx/assets/held-out

writes them, from the root of a checkout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from .blue_marble import HELD_OUT, columns
from .blue_marble_labels import PICTURE, LabelledBlueMarble
from .label_demo import as_palette_picture


def main(folder: Path) -> None:
    """Write `picture.jpg` and `labels.png` to FOLDER."""
    labelled = LabelledBlueMarble()
    marble = labelled.marble
    left, right = map(columns, HELD_OUT)
    marble.picture.crop((left, marble.top, right, marble.bottom)).save(folder / "picture.jpg", quality=92)
    labels = np.asarray(labelled.maps[PICTURE])[marble.top : marble.bottom, left:right]
    as_palette_picture(labels).save(folder / "labels.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
