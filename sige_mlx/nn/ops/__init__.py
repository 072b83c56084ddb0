"""A network is made of these operations. Each says its output's shape, its cost, and what it computes.

This is the only model of an operation in the project. A layer called with arrays runs `Op.__call__`; called with a
symbolic tensor it leaves the same `Op` in the graph, and every executor is tested against it.

Values are NHWC, `(B, H, W, C)`. A vector per image, such as a time embedding, is the image of one pixel `(B, 1, 1, C)`.
"""

from sige_mlx.nn.ops.attention import Attention, TimestepEmbedding
from sige_mlx.nn.ops.base import Op, Padding, Params, Shape
from sige_mlx.nn.ops.conv import PAD_MODES, Conv2d, Convolution, ConvTranspose2d, Linear, PadMode
from sige_mlx.nn.ops.norm import BatchNorm, GroupNorm, InstanceNorm, Norm, SampleNorm
from sige_mlx.nn.ops.pixelwise import ACTIVATIONS, Activation, Add, LeakyReLU, Modulate, ReLU, SiLU, Tanh
from sige_mlx.nn.ops.spatial import AvgPool2d, Concat, DownsampleNearest, Rearrangement, UpsampleNearest

__all__ = [
    "ACTIVATIONS",
    "PAD_MODES",
    "Activation",
    "Add",
    "Attention",
    "AvgPool2d",
    "BatchNorm",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Convolution",
    "DownsampleNearest",
    "GroupNorm",
    "InstanceNorm",
    "LeakyReLU",
    "Linear",
    "Modulate",
    "Norm",
    "Op",
    "PadMode",
    "Padding",
    "Params",
    "ReLU",
    "Rearrangement",
    "SampleNorm",
    "Shape",
    "SiLU",
    "Tanh",
    "TimestepEmbedding",
    "UpsampleNearest",
]
