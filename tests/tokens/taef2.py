"""TAEF2's trained weights, where they are: in the folder SIGE_TAEF2 or ../shared/data/taef2."""

from __future__ import annotations

import os
from pathlib import Path

import mlx.core as mx
import pytest

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.models.taesd import TinyDecoder, TinyEncoder

FOLDER = Path(os.environ.get("SIGE_TAEF2") or Path(__file__).parents[3] / "shared/data/taef2")


def networks(folder: Path) -> tuple[TinyEncoder, TinyDecoder]:
    """The trained encoder and decoder, converted into a folder, or skips the test."""
    if not (FOLDER / "taef2_encoder.pth").is_file():
        pytest.skip("no weights of TAEF2: set SIGE_TAEF2 to their folder")
    convert(FOLDER, folder / "taef2", image_size=512)
    network = zoo.load(folder / "taef2").module()
    mx.eval(network.parameters())
    return network.encoder, network.decoder
