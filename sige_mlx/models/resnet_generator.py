"""The ResNet generator of CycleGAN (Zhu et al. 2017) and pix2pix (Isola et al. 2017): a picture in, a picture out. Its
design is that of Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution"."""

from dataclasses import dataclass
from itertools import pairwise

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.nn import Tensor

HALVINGS = 2
"""Of the picture's sides, before the residual blocks."""

MAX_BLOCKS = 1000  # a file must not make us build a million

MULTIPLE, LEAST = 2**HALVINGS, 2 ** (HALVINGS + 1)
"""Of which the sides must be, and what they must be at least: the blocks mirror the borders of their plane."""


NORMS: dict[str, type[nn.InstanceNorm] | type[nn.BatchNorm]] = {"instance": nn.InstanceNorm, "batch": nn.BatchNorm}


@dataclass(frozen=True)
class ResnetGeneratorConfig:
    """The defaults are CycleGAN's published networks at 256 x 256.

    `image_size` is height and width of the picture, which no parameter depends on. Normalisations are by "instance", in
    CycleGAN, or by "batch", pix2pix's default, after convolutions without a bias; with `affine`, as by batch always,
    they have a weight and a bias.
    """

    image_size: tuple[int, int] = (256, 256)
    input_nc: int = 3
    output_nc: int = 3
    ngf: int = 64
    n_blocks: int = 9
    norm: str = "instance"
    affine: bool = False

    def __post_init__(self) -> None:
        size = self.image_size
        if not isinstance(size, tuple) or len(size) != 2:
            raise SigeError(f"ResNet generator: image_size is {size!r}; it takes height and width")
        if any(side < LEAST or side % MULTIPLE for side in size):
            raise SigeError(
                f"ResNet generator: a picture of {size[1]}×{size[0]} pixels (width × height); its sides must be"
                f" multiples of {MULTIPLE}, {LEAST} or more"
            )
        if min(self.input_nc, self.output_nc, self.ngf) < 1:
            raise SigeError(
                f"ResNet generator: input_nc is {self.input_nc}, output_nc {self.output_nc} and ngf {self.ngf};"
                " they must be 1 or more"
            )
        if not 0 <= self.n_blocks <= MAX_BLOCKS:
            raise SigeError(f"ResNet generator: n_blocks is {self.n_blocks}; it must be 0 to {MAX_BLOCKS}")
        if self.norm not in NORMS:
            raise SigeError(f"ResNet generator: norm is {self.norm!r}; it is {' or '.join(NORMS)}")
        if self.norm == "batch" and not self.affine:
            raise SigeError("ResNet generator: norm is 'batch', which has weights and biases: affine must be true")

    @property
    def bias(self) -> bool:
        """Whether a convolution before a normalisation has one."""
        return self.norm != "batch"

    def normalisation(self, channels: int) -> nn.InstanceNorm | nn.BatchNorm:
        """A layer's."""
        return NORMS[self.norm](channels, affine=self.affine)


class ConvBlock(mlx.nn.Module):
    """A convolution, normalisation and ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, channels: int, config: ResnetGeneratorConfig):
        super().__init__()
        self.conv = conv
        self.norm = config.normalisation(channels)

    def __call__(self, x: Tensor) -> Tensor:
        return nn.relu(self.norm(self.conv(x)))


class ResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions, each normalised, beside a path that is the identity."""

    def __init__(self, channels: int, config: ResnetGeneratorConfig):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=config.bias, pad_mode="reflect")
        self.norm1 = config.normalisation(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=config.bias, pad_mode="reflect")
        self.norm2 = config.normalisation(channels)

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(nn.relu(self.norm1(self.conv1(x)))))


class ResnetGenerator(mlx.nn.Module):
    """The picture `x` `(B, H, W, input_nc)` in [-1, 1], translated: `(B, H, W, output_nc)` in [-1, 1]."""

    def __init__(self, config: ResnetGeneratorConfig):
        super().__init__()
        self.config = config
        widths = [config.ngf << i for i in range(HALVINGS + 1)]
        stem = nn.Conv2d(config.input_nc, config.ngf, 7, padding=3, bias=config.bias, pad_mode="reflect")
        down = [nn.Conv2d(i, o, 3, stride=2, padding=1, bias=config.bias) for i, o in pairwise(widths)]
        up = [nn.ConvTranspose2d(i, o, bias=config.bias) for i, o in pairwise(reversed(widths))]
        self.stem = ConvBlock(stem, config.ngf, config)
        self.down = [ConvBlock(conv, width, config) for conv, width in zip(down, widths[1:], strict=True)]
        self.blocks = [ResnetBlock(widths[-1], config) for _ in range(config.n_blocks)]
        self.up = [ConvBlock(conv, width, config) for conv, width in zip(up, widths[-2::-1], strict=True)]
        self.conv_out = nn.Conv2d(config.ngf, config.output_nc, 7, padding=3, pad_mode="reflect")

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return {"x": (batch, *self.config.image_size, self.config.input_nc)}

    def __call__(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for layer in (*self.down, *self.blocks, *self.up):
            h = layer(h)
        return nn.tanh(self.conv_out(h))
