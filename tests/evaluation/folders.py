"""Edits in files, for tests: of small pictures and of small label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.tiny import edited_labels, labels, original, painted


def write_pictures(folder: Path, count: int = 3) -> Path:
    """`count` originals, each painted into in a place of its own, and what the first should look like."""
    for role in ("original", "edited", "truth"):
        (folder / role).mkdir(parents=True)
    for number in range(count):
        before, after = np.roll(original(), 5 * number, 1), np.roll(painted(), 5 * number, 1)
        Image.fromarray(before).save(folder / "original" / f"{number}.png")
        Image.fromarray(after).save(folder / "edited" / f"{number}.png")
    Image.fromarray(painted()).save(folder / "truth" / "0.png")
    return folder


def write_maps(folder: Path) -> Path:
    """An edited label map, and its opposite, as arrays."""
    for role in ("labels", "edited_labels"):
        (folder / role).mkdir(parents=True)
    for name, pair in {"tree": (labels(), edited_labels()), "no-tree": (edited_labels(), labels())}.items():
        np.save(folder / "labels" / f"{name}.npy", pair[0])
        np.save(folder / "edited_labels" / f"{name}.npy", pair[1])
    return folder
