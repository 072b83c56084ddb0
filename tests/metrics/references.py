"""The implementations that others compare with, as packages of the extra `metrics`; a test that wants one that is not
installed is skipped."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_NEVER_USED = {"IPython": "embed", "torchsummary": "summary"}  # what stlpips_pytorch imports, for debugging alone


def reference(name: str) -> Any:
    """The module of a reference implementation."""
    absent = {module: ModuleType(module) for module in _NEVER_USED if module not in sys.modules}
    for module, stand_in in absent.items():
        setattr(stand_in, _NEVER_USED[module], None)
    sys.modules.update(absent)
    try:
        return pytest.importorskip(name, exc_type=ModuleNotFoundError)
    finally:
        for module in absent:
            del sys.modules[module]


def nchw(pictures: np.ndarray) -> Any:
    """Pictures (B, H, W, C) as PyTorch has them."""
    import torch

    return torch.tensor(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def noisy(batch: int = 2, height: int = 40, width: int = 53, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth pictures (B, H, W, 3) of floats from 0 to 1, and the same with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 9.0
    waves = [np.sin(rows * (1 + i) + columns * k + i) for i in range(batch) for k in range(3)]
    smooth = 0.5 + 0.4 * np.stack(waves, -1).reshape(height, width, batch, 3).transpose(2, 0, 1, 3)
    return smooth.astype(np.float32), np.clip(smooth + rng.normal(0, 0.1, smooth.shape), 0, 1).astype(np.float32)


def in_the_middle(mask_of: np.ndarray) -> np.ndarray:
    """A mask (H, W) of pictures (B, H, W, C)."""
    _, height, width, _ = mask_of.shape
    mask = np.zeros((height, width), np.bool_)
    mask[height // 4 : height // 2, width // 3 : width // 2] = True
    return mask
