"""The project's networks with the weights of the frozen cases, or of a PyTorch twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import mlx.core as mx
import mlx.nn
import numpy as np

from benchmarks.frozen.folder import Folder
from sige_mlx.zoo import Pretrained
from tests.reference import require_reference

M = TypeVar("M", bound=mlx.nn.Module)


def mlx_layout(weight: np.ndarray) -> mx.array:
    """PyTorch's (O, I, kH, kW) as (O, kH, kW, I); everything else as it is."""
    return mx.array(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)) if weight.ndim == 4 else weight)


def load_torch_weights(model: M, weights: Mapping[str, np.ndarray]) -> M:
    """Gives a network, or a block of one, a PyTorch state dict; every name and shape must be there. A joined `qkv`
    becomes `q`, `k` and `v`."""
    named = {}
    for name, weight in weights.items():
        block, joined, leaf = name.rpartition("qkv.")
        for part, rows in zip("qkv", np.split(weight, 3), strict=True) if joined else [("", weight)]:
            named[f"{block}{part}.{leaf}" if joined else name] = mlx_layout(rows)
    model.load_weights(list(named.items()))
    return model


def frozen_network(name: str) -> Pretrained:
    """The network that the frozen cases of `name` ("ddpm-small", "gaugan-cityscapes") were made with, its weights in
    the module, too."""
    network = Folder(require_reference()).network(name)
    network.module()
    return network
