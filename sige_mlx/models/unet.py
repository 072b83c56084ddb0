"""What the U-Nets of the diffusion families share: levels of residual blocks, down and up again, with skips between."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.nn import Tensor

GROUPS = 32
MAX_BLOCKS = 64
"""Far above any level's number of blocks: a file must not make us build a million."""


@dataclass(frozen=True)
class UNetConfig:
    """Level i has planes of side `image_size` / 2^i and `ch` * `ch_mult[i]` channels, and attention where its side is
    in `attn_resolutions`, which are kept in ascending order. Raises `SigeError` for what no U-Net can be."""

    family: ClassVar[str]
    """Its name, for messages."""

    image_size: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    in_ch: int
    out_ch: int

    def __post_init__(self) -> None:
        # In any order they are the same network, and configurations are compared.
        object.__setattr__(self, "attn_resolutions", tuple(sorted(self.attn_resolutions)))
        if self.ch < 1 or self.ch % GROUPS:
            raise SigeError(f"{self.family}: ch is {self.ch}; its group normalisation takes a multiple of {GROUPS}")
        if not self.ch_mult:
            raise SigeError(f"{self.family}: ch_mult is empty; it takes one multiplier a level")
        if not 1 <= self.num_res_blocks <= MAX_BLOCKS:
            raise SigeError(f"{self.family}: num_res_blocks is {self.num_res_blocks}; a level takes 1 to {MAX_BLOCKS}")
        levels, multiple = len(self.ch_mult), 2 ** (len(self.ch_mult) - 1)
        if self.image_size < 1 or self.image_size % multiple:
            raise SigeError(
                f"{self.family}: image_size is {self.image_size}; its {levels} levels take a multiple of {multiple}"
            )

    def check_heads(self, head_dim: int) -> None:
        """Raises `SigeError` unless attention can be in heads of so many channels, over every width that has it."""
        attending = [m for i, m in enumerate(self.ch_mult) if self.image_size >> i in self.attn_resolutions]
        for width in (self.ch * m for m in [*attending, self.ch_mult[-1]]):
            if head_dim < 1 or width % head_dim:
                raise SigeError(
                    f"{self.family}: head_dim is {head_dim}; attention over {width} channels takes a divisor"
                )


Norm = Callable[[int], nn.GroupNorm]
"""Makes the normalisation of so many channels."""


def group_norm(channels: int) -> nn.GroupNorm:
    """That of the networks after Ho et al. 2020."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


@dataclass(frozen=True)
class Blocks:
    """How a family makes its blocks, from channels in and out, or channels alone. Attention is called with x, the
    others with x and the time embedding."""

    residual: Callable[[int, int], mlx.nn.Module]
    attention: Callable[[int], mlx.nn.Module]
    downsample: Callable[[int], mlx.nn.Module]
    upsample: Callable[[int], mlx.nn.Module]
    norm: Norm = group_norm
    """Of what comes out of the last block."""


class AttnBlock(mlx.nn.Module):
    """Self-attention over all pixels, in heads of `head_dim` channels, or in one head."""

    def __init__(self, channels: int, head_dim: int | None = None, norm: Norm = group_norm):
        super().__init__()
        self.norm = norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        self.heads = 1 if head_dim is None else channels // head_dim

    def __call__(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return self.proj_out(nn.attention(self.q(h), self.k(h), self.v(h), self.heads)) + x


class Downsample(mlx.nn.Module):
    """A stride-2 convolution padded on the far sides only, whatever the time embedding."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=((0, 1), (0, 1)))

    def __call__(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(mlx.nn.Module):
    """Nearest-neighbour upsampling and a convolution, whatever the time embedding."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def __call__(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.conv(nn.upsample_nearest(x))


class Level(mlx.nn.Module):
    """One resolution, down or up: residual blocks, each with attention where the resolution has it, and resampling."""

    def __init__(self, widths: list[tuple[int, int]], blocks: Blocks, attention: bool):
        super().__init__()
        self.block = [blocks.residual(i, o) for i, o in widths]
        self.attn = [blocks.attention(o) for _, o in widths] if attention else []

    def step(self, i: int, x: Tensor, temb: Tensor) -> Tensor:
        x = self.block[i](x, temb)
        return self.attn[i](x) if self.attn else x


class Middle(mlx.nn.Module):
    """The bottom of the U."""

    def __init__(self, channels: int, blocks: Blocks):
        super().__init__()
        self.block_1 = blocks.residual(channels, channels)
        self.attn_1 = blocks.attention(channels)
        self.block_2 = blocks.residual(channels, channels)

    def __call__(self, x: Tensor, temb: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, temb)), temb)


class UNet(mlx.nn.Module):
    """The network without its time embedding, named as in the published checkpoints."""

    def __init__(self, config: UNetConfig, blocks: Blocks):
        super().__init__()
        self.config = config
        outs = [config.ch * m for m in config.ch_mult]
        ins = [config.ch, *outs[:-1]]
        attention = [config.image_size >> i in config.attn_resolutions for i in range(len(outs))]

        self.conv_in = nn.Conv2d(config.in_ch, config.ch, 3, padding=1)
        self.down = []
        skips = [config.ch]
        for i, (width_in, width) in enumerate(zip(ins, outs, strict=True)):
            widths = [(width_in if j == 0 else width, width) for j in range(config.num_res_blocks)]
            level = Level(widths, blocks, attention[i])
            skips += [width] * config.num_res_blocks
            if i < len(outs) - 1:
                level.downsample = blocks.downsample(width)
                skips.append(width)
            self.down.append(level)
        self.mid = Middle(outs[-1], blocks)
        up = []
        below = outs[-1]
        for i in reversed(range(len(outs))):
            widths = []
            for _ in range(config.num_res_blocks + 1):
                widths.append((below + skips.pop(), outs[i]))
                below = outs[i]
            level = Level(widths, blocks, attention[i])
            if i:
                level.upsample = blocks.upsample(outs[i])
            up.append(level)
        self.up = up[::-1]
        self.norm_out = blocks.norm(outs[0])
        self.conv_out = nn.Conv2d(outs[0], config.out_ch, 3, padding=1)

    def run(self, x: Tensor, temb: Tensor) -> Tensor:
        """From an image `(B, H, W, in_ch)` and an embedding `(B, 1, 1, C)` to `(B, H, W, out_ch)`."""
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for i in range(self.config.num_res_blocks):
                h = level.step(i, h, temb)
                skips.append(h)
            if "downsample" in level:
                h = level.downsample(h, temb)
                skips.append(h)
        h = self.mid(h, temb)
        for level in reversed(self.up):
            for i in range(self.config.num_res_blocks + 1):
                h = level.step(i, nn.concat([h, skips.pop()]), temb)
            if "upsample" in level:
                h = level.upsample(h, temb)
        return self.conv_out(nn.silu(self.norm_out(h)))
