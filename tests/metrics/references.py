"""The implementations that others compare with, as packages of the extra `metrics`; a test that wants one that is not
installed is skipped."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_ALONE = ("scipy", "skimage")  # which need no PyTorch
_OPERATIONS = ("nms", "qnms")  # those that torchvision describes to PyTorch without asking whether it has them
_NEVER_USED = {"IPython": "embed", "torchsummary": "summary"}  # what stlpips_pytorch imports, for debugging alone
_kept: list[object] = []  # definitions of operations, which end with the object that made them


def reference(name: str) -> Any:
    """The module of a reference implementation."""
    if name.split(".")[0] in _ALONE:
        return pytest.importorskip(name, exc_type=ModuleNotFoundError)
    pytest.importorskip("torch", exc_type=ModuleNotFoundError)
    _import_torchvision()
    absent = {module: ModuleType(module) for module in _NEVER_USED if module not in sys.modules}
    for module, stand_in in absent.items():
        setattr(stand_in, _NEVER_USED[module], None)
    sys.modules.update(absent)
    try:
        return pytest.importorskip(name, exc_type=ModuleNotFoundError)
    finally:
        for module in absent:
            del sys.modules[module]


def _import_torchvision() -> None:
    """Also where its compiled part does not load: the wheel on PyPI is made for CUDA's PyTorch, and what the references
    take of it is plain Python."""
    try:
        pytest.importorskip("torchvision", exc_type=ModuleNotFoundError)
    except RuntimeError:  # an operation that is not there
        import torch

        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for operation in _OPERATIONS:
            library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        import torchvision  # noqa: F401


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
