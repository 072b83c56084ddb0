"""The classes of label maps."""

from __future__ import annotations

from sige_mlx.label_classes import CITYSCAPES


def test_cityscapes_classes() -> None:
    """Some of them, as in the table of the data set."""
    named = {name: (i, colour) for i, (name, colour) in enumerate(CITYSCAPES)}
    assert len(named) == 35
    assert named["road"] == (7, (128, 64, 128)) and named["sky"] == (23, (70, 130, 180))
    assert named["person"] == (24, (220, 20, 60)) and named["bicycle"] == (33, (119, 11, 32))
