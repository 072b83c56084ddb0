"""Layers and functions, named as in `mlx.nn`, that run on `mx.array` and trace on symbolic tensors."""

from sige_mlx.nn.functional import (
    Symbolic,
    Tensor,
    attention,
    concat,
    conv2d,
    group_norm,
    linear,
    silu,
    timestep_embedding,
    upsample_nearest,
)
from sige_mlx.nn.layers import Conv2d, GroupNorm, Linear

__all__ = [
    "Conv2d",
    "GroupNorm",
    "Linear",
    "Symbolic",
    "Tensor",
    "attention",
    "concat",
    "conv2d",
    "group_norm",
    "linear",
    "silu",
    "timestep_embedding",
    "upsample_nearest",
]
