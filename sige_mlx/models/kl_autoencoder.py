"""The autoencoder of latent diffusion (Rombach et al. 2022), which turns pictures into latents and back: Stable
Diffusion's and, by other sizes, those of FLUX, with the parameter names of its authors' code."""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.models.unet import GROUPS, MAX_BLOCKS, AttnBlock, Downsample, Upsample, group_norm
from sige_mlx.nn import Tensor

PATCH = 2
"""Latents along a side of one token of FLUX.2."""

NORM_EPS = 1e-4


@dataclass(frozen=True)
class KLAutoencoderConfig:
    """FLUX.2's by default; Stable Diffusion's has 4 latent channels, is not `patched` and has a `scaling` of 0.18215.

    `image_size` is height and width of the picture, which no parameter depends on. Level i has planes of `ch` ·
    `ch_mult[i]` channels at 1 / 2^i of the picture's size, and the last one is the latents' size. With `quantised` the
    latents pass a 1x1 convolution on both sides. `patched` latents are normalised by kept statistics, in 2 × 2 patches;
    others have `shift` taken away and are scaled by `scaling`.
    """

    image_size: tuple[int, int] = (512, 512)
    latent_channels: int = 32
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    quantised: bool = True
    patched: bool = True
    scaling: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.ch < 1 or self.ch % GROUPS:
            raise SigeError(f"KL autoencoder: ch is {self.ch}; its group normalisation takes a multiple of {GROUPS}")
        if not self.ch_mult or min(self.ch_mult) < 1:
            raise SigeError(f"KL autoencoder: ch_mult is {self.ch_mult}; it takes one multiplier a level, 1 or more")
        if not 1 <= self.num_res_blocks <= MAX_BLOCKS or self.latent_channels < 1:
            raise SigeError(
                f"KL autoencoder: num_res_blocks is {self.num_res_blocks} and latent_channels {self.latent_channels};"
                f" it takes 1 to {MAX_BLOCKS} and 1 or more"
            )
        if not self.scaling:
            raise SigeError("KL autoencoder: its scaling is 0, by which latents cannot be divided")
        if any(side < self.factor or side % self.factor for side in self.image_size):
            raise SigeError(
                f"KL autoencoder: a picture of {self.image_size[1]}×{self.image_size[0]} pixels (width × height);"
                f" its sides must be multiples of {self.factor}"
            )

    @property
    def factor(self) -> int:
        """Pixels of a picture along a side of one latent."""
        return int(2 ** (len(self.ch_mult) - 1))

    @property
    def latent_size(self) -> tuple[int, int]:
        return self.image_size[0] // self.factor, self.image_size[1] // self.factor

    @property
    def widths(self) -> list[int]:
        """Channels by level."""
        return [self.ch * multiplier for multiplier in self.ch_mult]


class ResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions, and a 1x1 shortcut where the width changes."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def __call__(self, x: Tensor) -> Tensor:
        h = self.conv1(nn.silu(self.norm1(x)))
        h = self.conv2(nn.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if "nin_shortcut" in self else x)


class Level(mlx.nn.Module):
    """One resolution: residual blocks, and resampling but for the last."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int):
        super().__init__()
        self.block = [ResnetBlock(out_channels if i else in_channels, out_channels) for i in range(blocks)]

    def __call__(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for resample in ("downsample", "upsample"):
            if resample in self:
                x = self[resample](x)
        return x


class Middle(mlx.nn.Module):
    """At the latents' size."""

    def __init__(self, channels: int):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def __call__(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class KLEncoder(mlx.nn.Module):
    """A picture `(B, H, W, 3)` in [-1, 1] as the means of its latents, `(B, H / 8, W / 8, latent_channels)`. Their
    variances, which editing has no use for, are not computed."""

    def __init__(self, config: KLAutoencoderConfig):
        super().__init__()
        self.config = config
        widths = config.widths
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = []
        for i, width in enumerate(widths):
            level = Level(widths[max(i - 1, 0)], width, config.num_res_blocks)
            if i < len(widths) - 1:
                level.downsample = Downsample(width)
            self.down.append(level)
        self.mid = Middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        # With another convolution behind it, that reads the variances too.
        latents = config.latent_channels
        self.conv_out = nn.Conv2d(widths[-1], latents * (2 if config.quantised else 1), 3, padding=1)
        if config.quantised:
            self.quant_conv = nn.Conv2d(2 * latents, latents, 1)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return {"x": (batch, *self.config.image_size, 3)}

    def __call__(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        h = self.conv_out(nn.silu(self.norm_out(self.mid(h))))
        return self.quant_conv(h) if "quant_conv" in self else h


class KLDecoder(mlx.nn.Module):
    """Latents `(B, H / 8, W / 8, latent_channels)` as a picture `(B, H, W, 3)`, about in [-1, 1]."""

    def __init__(self, config: KLAutoencoderConfig):
        super().__init__()
        self.config = config
        widths = config.widths
        if config.quantised:
            self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = []
        for i, width in enumerate(widths):
            level = Level(widths[min(i + 1, len(widths) - 1)], width, config.num_res_blocks + 1)
            if i:
                level.upsample = Upsample(width)
            self.up.append(level)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return {"x": (batch, *self.config.latent_size, self.config.latent_channels)}

    def __call__(self, x: Tensor) -> Tensor:
        h = self.post_quant_conv(x) if "post_quant_conv" in self else x
        h = self.mid(self.conv_in(h))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(nn.silu(self.norm_out(h)))


class KLAutoencoder(mlx.nn.Module):
    """Both halves: called, it gives a picture `(B, H, W, 3)` in [-1, 1] as it comes back from its latents."""

    def __init__(self, config: KLAutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = KLEncoder(config), KLDecoder(config)
        if config.patched:
            self.bn = nn.BatchNorm(PATCH**2 * config.latent_channels, eps=NORM_EPS)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        return self.encoder.inputs(batch)

    def __call__(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def normalised(self, latents: mx.array) -> mx.array:
        """Latents as a diffusion network reads them: `patched` ones in patches, (B, h / 2, w / 2, 4 C), others of their
        own size."""
        if not self.config.patched:
            return (latents - self.config.shift) * self.config.scaling
        b, h, w, c = latents.shape
        cut = latents.reshape(b, h // PATCH, PATCH, w // PATCH, PATCH, c).transpose(0, 1, 3, 5, 2, 4)
        normal: mx.array = self.bn(cut.reshape(b, h // PATCH, w // PATCH, -1))
        return normal

    def latents(self, normalised: mx.array) -> mx.array:
        """What `normalised` was given."""
        if not self.config.patched:
            return normalised / self.config.scaling + self.config.shift
        b, h, w, c = normalised.shape
        plain = normalised * mx.sqrt(self.bn.running_var + self.bn.eps) + self.bn.running_mean
        cut = plain.reshape(b, h, w, c // PATCH**2, PATCH, PATCH).transpose(0, 1, 4, 2, 5, 3)
        return cut.reshape(b, PATCH * h, PATCH * w, c // PATCH**2)
