"""GAN Compression's generator (Li et al. 2020): GauGAN's network with a width of its own for every block, found by
search, and the scale and the shift of a SPADE each computed by a separable convolution."""

from dataclasses import dataclass
from functools import partial

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.models.spade import (
    MIDDLE,
    LabelToImageConfig,
    LabelToImageGenerator,
    SPADEResnetBlock,
    SpatiallyAdaptiveNorm,
)
from sige_mlx.nn import Tensor

FACTORS = {"head_0": 16, "G_middle_0": 16, "G_middle_1": 16, "up_0": 8, "up_1": 4, "up_2": 2, "up_3": 1}
"""Each block's channels, in the numbers of `config_str`."""

HIDDEN = 2
"""Features of the label map in a block's SPADEs, likewise."""


@dataclass(frozen=True)
class SubMobileSPADEConfig(LabelToImageConfig):
    """`config_str` holds a width for the first convolution and for each of the seven blocks."""

    config_str: str = "32_32_32_48_32_24_24_32"

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = self.config_str.split("_")
        if len(parts) != 1 + len(FACTORS) or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
            raise SigeError(
                f"sub-mobile SPADE: config_str is {self.config_str!r}; it takes 8 numbers such as 32_32_…_32"
            )
        if self.num_upsampling_layers == "most":
            raise SigeError("sub-mobile SPADE: num_upsampling_layers is 'most'; only seven blocks were published")

    @property
    def channels(self) -> list[int]:
        """The numbers of `config_str`."""
        return [int(part) for part in self.config_str.split("_")]


class SeparableConv2d(mlx.nn.Module):
    """A depthwise 3x3 convolution, instance normalisation, and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = [
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
            nn.InstanceNorm(in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
        ]

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.conv:
            x = layer(x)
        return x


class SubMobileSPADE(SpatiallyAdaptiveNorm):
    """A separable convolution for the scale, another for the shift."""

    def __init__(self, channels: int, semantic_nc: int, nhidden: int):
        super().__init__(channels, semantic_nc, nhidden)
        self.mlp_gamma = SeparableConv2d(nhidden, channels)
        self.mlp_beta = SeparableConv2d(nhidden, channels)

    def scale_shift(self, hidden: Tensor) -> Tensor:
        return nn.concat([self.mlp_gamma(hidden), self.mlp_beta(hidden)])


class SubMobileSPADEGenerator(LabelToImageGenerator):
    """GAN Compression's generator, of the widths that its configuration gives."""

    def __init__(self, config: SubMobileSPADEConfig):
        first, *channels = config.channels
        blocks = {}
        head = width = FACTORS["head_0"] * first
        for (name, factor), c in zip(FACTORS.items(), channels, strict=True):
            norm = partial(SubMobileSPADE, semantic_nc=config.semantic_nc, nhidden=HIDDEN * c)
            out = width if name in MIDDLE else factor * c
            blocks[name] = SPADEResnetBlock((width, factor * c, out), name not in MIDDLE, norm)
            width = out
        super().__init__(config, blocks, (head, width))
