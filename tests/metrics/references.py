"""The implementations that others compare with, as packages of the extra `metrics`; a test that wants one that is not
installed is skipped."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_OPERATIONS = ("nms", "qnms")  # those that torchvision describes to PyTorch without asking whether it has them
_ALONE = ("skimage", "scipy")  # which need no PyTorch
_NEVER_USED = {"IPython": "embed", "torchsummary": "summary"}  # what stlpips_pytorch imports, for debugging alone


def reference(name: str) -> Any:
    """The module of a reference implementation, ready to be used where torchvision's compiled part does not load: its
    wheel of PyPI is made for CUDA's PyTorch, and what the references take of it is plain Python."""
    if name.split(".")[0] not in _ALONE:
        pytest.importorskip("torch", exc_type=ModuleNotFoundError)
        _torchvision()
    absent = {module: ModuleType(module) for module in _NEVER_USED if module not in sys.modules}
    for module, function in _NEVER_USED.items():
        if module in absent:
            setattr(absent[module], function, None)
    sys.modules.update(absent)
    try:
        return pytest.importorskip(name, exc_type=ModuleNotFoundError)
    finally:
        for module in absent:
            del sys.modules[module]


def _torchvision() -> None:
    try:
        pytest.importorskip("torchvision", exc_type=ModuleNotFoundError)
    except RuntimeError:  # an operation that is compiled, and is not there
        import torch

        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        global _library  # which undoes its definitions when it is collected
        _library = torch.library.Library("torchvision", "DEF")
        for operation in _OPERATIONS:
            _library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
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
