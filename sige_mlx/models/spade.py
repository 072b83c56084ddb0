"""The generator of GauGAN (Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization"): a label
map in, a picture out. Parameter names are the published ones, but for the scale and the shift of a SPADE, which are one
convolution here: both read the same hidden features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.nn import Tensor

UPSAMPLINGS = {"normal": 5, "more": 6, "most": 7}
"""Doublings between the latent plane and the picture, by `num_upsampling_layers`."""

MIDDLE = ("head_0", "G_middle_0", "G_middle_1")


@dataclass(frozen=True)
class LabelToImageConfig:
    """What the label-to-image networks have in common; the defaults are Cityscapes, 256 x 512.

    `crop_size` is the width of the picture in pixels, `aspect_ratio` its width by its height. The input has a channel
    for each of `input_nc` labels and, unless `no_instance`, one for the edges between instances.
    """

    input_nc: int = 35
    no_instance: bool = False
    output_nc: int = 3
    num_upsampling_layers: str = "more"
    crop_size: int = 512
    aspect_ratio: float = 2.0

    def __post_init__(self) -> None:
        if self.num_upsampling_layers not in UPSAMPLINGS:
            raise SigeError(
                f"SPADE: num_upsampling_layers is {self.num_upsampling_layers!r}; it is {', '.join(UPSAMPLINGS)}"
            )
        if self.input_nc < 1 or self.output_nc < 1:
            raise SigeError(
                f"SPADE: {self.input_nc} labels and {self.output_nc} output channels; both must be 1 or more"
            )
        multiple = 2 ** UPSAMPLINGS[self.num_upsampling_layers]
        if self.crop_size < 1 or self.crop_size % multiple:
            raise SigeError(f"SPADE: crop_size is {self.crop_size}; its up-samplings take a multiple of {multiple}")
        if not self.aspect_ratio > 0 or min(self.latent_size) < 1:
            raise SigeError(f"SPADE: aspect_ratio is {self.aspect_ratio}; width by height, it leaves no row of pixels")

    @property
    def semantic_nc(self) -> int:
        """Channels of the input."""
        return self.input_nc + (not self.no_instance)

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the plane that the generator begins with."""
        width = self.crop_size >> UPSAMPLINGS[self.num_upsampling_layers]
        return round(width / self.aspect_ratio), width

    @property
    def blocks(self) -> dict[str, int]:
        """The residual blocks in order, and how often the latent plane has been doubled before each."""
        before_up = 3 if self.num_upsampling_layers != "normal" else 2
        doublings = dict(zip(MIDDLE, (0, 1, before_up - 1), strict=True))
        ups = UPSAMPLINGS[self.num_upsampling_layers] - before_up + 1
        return doublings | {f"up_{i}": before_up + i for i in range(ups)}

    def side_of_last(self, count: int) -> int:
        """The longer side of the planes of the last `count` residual blocks, as the first of them has it. Raises
        `SigeError` where there are not so many."""
        if not 0 <= count <= len(self.blocks):
            raise SigeError(f"SPADE: its last {count} of {len(self.blocks)} blocks are asked for")
        doublings = [*self.blocks.values(), UPSAMPLINGS[self.num_upsampling_layers] + 1]
        return max(self.latent_size) << doublings[len(self.blocks) - count]


@dataclass(frozen=True)
class SPADEConfig(LabelToImageConfig):
    """GauGAN's network: `ngf` channels at the picture's size, `nhidden` features of the label map in every SPADE."""

    ngf: int = 64
    nhidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ngf < 2 or self.nhidden < 1:
            raise SigeError(f"SPADE: ngf is {self.ngf} and nhidden {self.nhidden}; they are at least 2 and 1")


class SpatiallyAdaptiveNorm(mlx.nn.Module):
    """Batch normalisation, then scale and shift at every pixel, computed from the label map (Park et al. 2019,
    equation 1) by what a subclass makes of its hidden features."""

    def __init__(self, channels: int, semantic_nc: int, nhidden: int):
        super().__init__()
        self.param_free_norm = nn.BatchNorm(channels)
        self.mlp_shared = [nn.Conv2d(semantic_nc, nhidden, 3, padding=1)]

    def scale_shift(self, hidden: Tensor) -> Tensor:
        """Scale, then shift, in 2 C channels."""
        raise NotImplementedError(type(self).__name__)

    def modulation(self, labels: Tensor) -> Tensor:
        """Scale and shift from the label map at the size of what is normalised."""
        return self.scale_shift(nn.relu(self.mlp_shared[0](labels)))

    def __call__(self, x: Tensor, modulation: Tensor) -> Tensor:
        return nn.modulate(self.param_free_norm(x), modulation)


class SPADE(SpatiallyAdaptiveNorm):
    """GauGAN's: one 3x3 convolution for scale and shift."""

    def __init__(self, channels: int, semantic_nc: int, nhidden: int):
        super().__init__(channels, semantic_nc, nhidden)
        self.mlp_gamma_beta = nn.Conv2d(nhidden, 2 * channels, 3, padding=1)

    def scale_shift(self, hidden: Tensor) -> Tensor:
        return self.mlp_gamma_beta(hidden)


class SPADEResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions, each after a SPADE that `norm` makes for its channels; where `shortcut` is learned, a third
    and a 1x1 convolution beside them. `widths` are the channels in, between the convolutions, and out."""

    def __init__(self, widths: tuple[int, int, int], shortcut: bool, norm: Callable[[int], SpatiallyAdaptiveNorm]):
        super().__init__()
        width_in, middle, width_out = widths
        self.norm_0 = norm(width_in)
        self.conv_0 = nn.Conv2d(width_in, middle, 3, padding=1)
        self.norm_1 = norm(middle)
        self.conv_1 = nn.Conv2d(middle, width_out, 3, padding=1)
        if shortcut:
            self.norm_s = norm(width_in)
            self.conv_s = nn.Conv2d(width_in, width_out, 1, bias=False)

    def __call__(self, x: Tensor, labels: Tensor) -> Tensor:
        # The label branch first: it depends on nothing that the convolutions compute.
        modulations = {name: self[name].modulation(labels) for name in ("norm_s", "norm_0", "norm_1") if name in self}
        shortcut = self.conv_s(self.norm_s(x, modulations["norm_s"])) if "norm_s" in self else x
        h = self.conv_0(nn.leaky_relu(self.norm_0(x, modulations["norm_0"])))
        h = self.conv_1(nn.leaky_relu(self.norm_1(h, modulations["norm_1"])))
        return shortcut + h


class LabelToImageGenerator(mlx.nn.Module):
    """A picture `(B, H, W, output_nc)` in [-1, 1] of the label map `x` `(B, H, W, semantic_nc)`: one-hot labels and, as
    the last channel if there is one, the edges between instances. `blocks` are those of the configuration, `widths` the
    channels before the first and after the last of them."""

    def __init__(self, config: LabelToImageConfig, blocks: dict[str, SPADEResnetBlock], widths: tuple[int, int]):
        super().__init__()
        self.config = config
        self.fc = nn.Conv2d(config.semantic_nc, widths[0], 3, padding=1)
        for name in config.blocks:
            self[name] = blocks[name]
        self.conv_img = nn.Conv2d(widths[1], config.output_nc, 3, padding=1)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        h, w = (side << UPSAMPLINGS[self.config.num_upsampling_layers] for side in self.config.latent_size)
        return {"x": (batch, h, w, self.config.semantic_nc)}

    def __call__(self, x: Tensor) -> Tensor:
        total = UPSAMPLINGS[self.config.num_upsampling_layers]
        labels = {total: x, **{n: nn.downsample_nearest(x, 2 ** (total - n)) for n in range(total)}}
        h = self.fc(labels[0])
        doubled = 0
        for name, doublings in self.config.blocks.items():
            if doublings > doubled:
                h = nn.upsample_nearest(h)
                doubled = doublings
            h = self[name](h, labels[doubled])
        return nn.tanh(self.conv_img(nn.leaky_relu(h)))


class SPADEGenerator(LabelToImageGenerator):
    """GauGAN's generator: 16 ngf channels in the middle, halved with every doubling of the plane."""

    def __init__(self, config: SPADEConfig):
        norm = partial(SPADE, semantic_nc=config.semantic_nc, nhidden=config.nhidden)
        blocks = {}
        first = width = 16 * config.ngf
        for name in config.blocks:
            out = width if name in MIDDLE else width // 2
            blocks[name] = SPADEResnetBlock((width, out, out), name not in MIDDLE, norm)
            width = out
        super().__init__(config, blocks, (first, width))
