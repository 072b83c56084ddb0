"""The tiny autoencoders of Ollin Boer Bohan turn pictures in [0, 1] into latents at an eighth of their size, and back:
TAEF2 into those of FLUX.2, and by other sizes TAESD into those of Stable Diffusion.

Between the halves latents z are brought softly into [-3, 3], as 3 tanh(z / 3). The encoder here gives a third of
latents, and the decoder reads a third of what is clamped, so that between them is a tanh.
"""

from dataclasses import dataclass

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.nn import Tensor

FACTOR = 8
"""Pixels of a picture along a side of one latent."""

GROUPS = 4


@dataclass(frozen=True)
class TinyAutoencoderConfig:
    """TAEF2's by default; TAESD has 4 latent channels and no normalisation.

    `image_size` is height and width of the picture, which no parameter depends on. With `pooled` the blocks at the
    smallest size have a branch that is normalised over the whole plane.
    """

    image_size: tuple[int, int] = (512, 512)
    latent_channels: int = 32
    width: int = 64
    pooled: bool = True

    def __post_init__(self) -> None:
        if any(side < FACTOR or side % FACTOR for side in self.image_size):
            raise SigeError(
                f"tiny autoencoder: a picture of {self.image_size[1]}×{self.image_size[0]} pixels (width × height);"
                f" its sides must be multiples of {FACTOR}"
            )
        if min(self.latent_channels, self.width) < 1:
            raise SigeError(
                f"tiny autoencoder: latent_channels is {self.latent_channels} and width {self.width};"
                " they must be 1 or more"
            )

    @property
    def latent_size(self) -> tuple[int, int]:
        return self.image_size[0] // FACTOR, self.image_size[1] // FACTOR


class Activated(mlx.nn.Module):
    """ReLU, at its place in a list of layers."""

    def __call__(self, x: Tensor) -> Tensor:
        return nn.relu(x)


class Upsampled(mlx.nn.Module):
    """Twice the size, at its place in a list of layers."""

    def __call__(self, x: Tensor) -> Tensor:
        return nn.upsample_nearest(x)


class Block(mlx.nn.Module):
    """Three 3x3 convolutions beside the identity, after a branch of 1x1 convolutions that is normalised if `pooled`."""

    def __init__(self, width: int, pooled: bool):
        super().__init__()
        convs = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        self.conv = [convs[0], Activated(), convs[1], Activated(), convs[2]]
        if pooled:
            wide = GROUPS * width
            into, back = nn.Conv2d(width, wide, 1, bias=False), nn.Conv2d(wide, width, 1, bias=False)
            self.pool = [into, nn.GroupNorm(GROUPS, wide), Activated(), back]

    def __call__(self, x: Tensor) -> Tensor:
        if "pool" in self:
            x = x + _through(self.pool, x)
        return nn.relu(_through(self.conv, x) + x)


class TinyDecoder(mlx.nn.Module):
    """What `clamped` gave, `(B, H / 8, W / 8, latent_channels)`, as a picture `(B, H, W, 3)`."""

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__()
        self.config = config
        width = config.width
        layers: list[mlx.nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1), Activated()]
        layers += [Block(width, config.pooled) for _ in range(3)]
        for blocks in (3, 3, 1):
            layers += [Upsampled(), nn.Conv2d(width, width, 3, padding=1, bias=False)]
            layers += [Block(width, False) for _ in range(blocks)]
        self.layers = [*layers, nn.Conv2d(width, 3, 3, padding=1)]

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return {"x": (batch, *self.config.latent_size, self.config.latent_channels)}

    def __call__(self, x: Tensor) -> Tensor:
        return _through(self.layers, x)


class TinyEncoder(mlx.nn.Module):
    """A picture `(B, H, W, 3)` in [0, 1] as a third of its latents, `(B, H / 8, W / 8, latent_channels)`."""

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__()
        self.config = config
        width = config.width
        layers: list[mlx.nn.Module] = [nn.Conv2d(3, width, 3, padding=1), Block(width, False)]
        for halving in range(3):
            layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            layers += [Block(width, config.pooled and halving == 2) for _ in range(3)]
        self.layers = [*layers, nn.Conv2d(width, config.latent_channels, 3, padding=1)]

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return {"x": (batch, *self.config.image_size, 3)}

    def __call__(self, x: Tensor) -> Tensor:
        return _through(self.layers, x)


class TinyAutoencoder(mlx.nn.Module):
    """Both halves: called, it gives a picture `(B, H, W, 3)` in [0, 1] as it comes back from its latents."""

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = TinyEncoder(config), TinyDecoder(config)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return self.encoder.inputs(batch)

    def __call__(self, x: Tensor) -> Tensor:
        return self.decoder(clamped(self.encoder(x)))


def clamped(planes: Tensor) -> Tensor:
    """A third of latents, brought softly into [-1, 1], as the decoder was trained to read them."""
    return nn.tanh(planes)


def _through(layers: list[mlx.nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x
