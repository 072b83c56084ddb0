"""The project's networks with the weights of the frozen cases, or of a PyTorch twin."""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx
import numpy as np

from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.reference import load_config, load_weights


def mlx_layout(weight: np.ndarray) -> mx.array:
    """PyTorch's (O, I, kH, kW) as (O, kH, kW, I); everything else as it is."""
    return mx.array(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)) if weight.ndim == 4 else weight)


def load_torch_weights(model: DDPMUNet, weights: Mapping[str, np.ndarray]) -> DDPMUNet:
    """Gives the network a PyTorch state dict; every name and shape must be there."""
    model.load_weights([(name, mlx_layout(weight)) for name, weight in weights.items()])
    return model


def frozen_network(name: str) -> DDPMUNet:
    """The network that the frozen cases of `name` ("ddpm-small", "ddpm-church-256") were made with."""
    described = load_config(name)
    fields = {"ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_ch", "out_ch", "sparse_resolution_threshold"}
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in described["model"].items() if k in fields}
    model = DDPMUNet(DDPMConfig(image_size=described["image_size"], **config))
    return load_torch_weights(model, load_weights(name))
