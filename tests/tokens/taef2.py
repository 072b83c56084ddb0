"""TAEF2's trained weights, where they are: in the folder SIGE_TAEF2 or ../shared/data/taef2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest

from sige_mlx.converters.checkpoint import reader
from sige_mlx.converters.checkpoint.state_dict import state_dict
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder

FOLDER = Path(os.environ.get("SIGE_TAEF2") or Path(__file__).parents[3] / "shared/data/taef2")

Network = TypeVar("Network", bound=mlx.nn.Module)


def networks(config: TinyAutoencoderConfig) -> tuple[TinyEncoder, TinyDecoder]:
    """The trained encoder and decoder, or skips the test."""
    return _loaded(TinyEncoder(config), "encoder", 0), _loaded(TinyDecoder(config), "decoder", 1)


def _loaded(network: Network, name: str, before: int) -> Network:
    """`before` is the number of published layers that ours has none for: the clamp."""
    path = FOLDER / f"taef2_{name}.pth"
    if not path.is_file():
        pytest.skip("no weights of TAEF2: set SIGE_TAEF2 to their folder")
    weights = []
    for key, tensor in state_dict(reader.read(path)).tensors.items():
        index, rest = key.split(".", 1)
        value = tensor.numpy()
        weights.append(
            (f"layers.{int(index) - before}.{rest}", mx.array(np.moveaxis(value, 1, -1) if value.ndim == 4 else value))
        )
    network.load_weights(weights)
    mx.eval(network.parameters())
    return network
