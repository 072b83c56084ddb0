"""One executor against another on the same network, image and edit."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine import Engine
from tests.graph.networks import Mask

Floats = npt.NDArray[np.float32]

EVERYWHERE = ("cpu", "reference")
"""Devices that every machine has; those of the GPU are tested in `tests/metal`."""


def nmse(found: Any, expected: Any) -> float:
    """Normalised mean squared error: the measure of ggml's backend tests."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape
    return float(((a - b) ** 2).sum() / (b**2).sum())


def image(engine: Engine, seed: int = 0) -> dict[str, Floats]:
    """Inputs of order one; time steps differ from image to image."""
    rng = np.random.default_rng(seed)
    given = {}
    for name, index in engine.lowered.graph.inputs.items():
        shape = engine.lowered.graph.nodes[index].shape
        drawn = rng.standard_normal(shape) if len(shape) > 1 else 17.0 + 100 * np.arange(shape[0])
        given[name] = drawn.astype(np.float32)
    return given


def edited(inputs: dict[str, Floats], mask: Mask, seed: int = 1) -> dict[str, Floats]:
    """The inputs with other pixels under the mask [H, W] or [B, H, W]."""
    rng = np.random.default_rng(seed)
    x = inputs["x"]
    other = rng.standard_normal(x.shape).astype(np.float32)
    return {**inputs, "x": np.where(np.broadcast_to(mask, x.shape[:3])[..., None], other, x)}


def run_edit(engine: Engine, mask: Mask) -> mx.array:
    """Records an image and edits it under the mask."""
    inputs = image(engine)
    engine.record(**inputs)
    return engine.edit(engine.prepare(mask), **edited(inputs, mask))
