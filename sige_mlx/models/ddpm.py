"""The U-Net of DDPM (Ho et al. 2020) and DDIM (Song et al. 2021), with the published checkpoints' parameter names."""

from dataclasses import dataclass

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.nn import Tensor


@dataclass(frozen=True)
class DDPMConfig:
    """Network and edit settings; the defaults are LSUN church, 256 x 256."""

    image_size: int = 256
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    in_ch: int = 3
    out_ch: int = 3
    resamp_with_conv: bool = True
    sparse_resolution_threshold: int = 64
    eps: float = 0.01
    mask_dilate_radius: int = 5

    def __post_init__(self) -> None:
        if self.ch < 1 or self.ch % 32:
            raise SigeError(f"DDPM: ch is {self.ch}; its group normalisation takes a multiple of 32")
        if not self.ch_mult:
            raise SigeError("DDPM: ch_mult is empty; it takes one multiplier a level")
        if self.num_res_blocks < 1:
            raise SigeError(f"DDPM: num_res_blocks is {self.num_res_blocks}; a level takes at least 1")
        multiple = 2 ** (len(self.ch_mult) - 1)
        if self.image_size < 1 or self.image_size % multiple:
            raise SigeError(
                f"DDPM: image_size is {self.image_size}; its {len(self.ch_mult)} levels take a multiple of {multiple}"
            )
        if not self.resamp_with_conv:
            raise SigeError(
                "DDPM: resamp_with_conv is false; only networks that resample with convolutions were published"
            )


class ResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions with the time embedding between them, and a 1x1 shortcut where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, temb_channels: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, in_channels, eps=1e-6)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.temb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = nn.GroupNorm(32, out_channels, eps=1e-6)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def __call__(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(nn.silu(self.norm1(x))) + self.temb_proj(nn.silu(temb))
        h = self.conv2(nn.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if "nin_shortcut" in self else x)


class AttnBlock(mlx.nn.Module):
    """Self-attention over all pixels, one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def __call__(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return self.proj_out(nn.attention(self.q(h), self.k(h), self.v(h))) + x


class Downsample(mlx.nn.Module):
    """A stride-2 convolution padded on the far sides only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=((0, 1), (0, 1)))

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(mlx.nn.Module):
    """Nearest-neighbour upsampling and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv(nn.upsample_nearest(x))


class Level(mlx.nn.Module):
    """One resolution, down or up: residual blocks, each with attention where the resolution has it, and resampling."""

    def __init__(self, widths: list[tuple[int, int]], temb_channels: int, attention: bool):
        super().__init__()
        self.block = [ResnetBlock(i, o, temb_channels) for i, o in widths]
        self.attn = [AttnBlock(o) for _, o in widths] if attention else []

    def step(self, i: int, x: Tensor, temb: Tensor) -> Tensor:
        x = self.block[i](x, temb)
        return self.attn[i](x) if self.attn else x


class Middle(mlx.nn.Module):
    """The bottom of the U."""

    def __init__(self, channels: int, temb_channels: int):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, temb_channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels, temb_channels)

    def __call__(self, x: Tensor, temb: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, temb)), temb)


class TimeEmbedding(mlx.nn.Module):
    """The sinusoidal embedding and two dense layers."""

    def __init__(self, ch: int):
        super().__init__()
        self.dense = [nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)]
        self.ch = ch

    def __call__(self, t: Tensor) -> Tensor:
        return self.dense[1](nn.silu(self.dense[0](nn.timestep_embedding(t, self.ch))))


class DDPMUNet(mlx.nn.Module):
    """Predicts the noise of `x` `(B, H, W, in_ch)` at time steps `t` `(B,)`, as `(B, H, W, out_ch)`."""

    def __init__(self, config: DDPMConfig):
        super().__init__()
        self.config = config
        temb = 4 * config.ch
        outs = [config.ch * m for m in config.ch_mult]
        ins = [config.ch, *outs[:-1]]
        sizes = [config.image_size >> i for i in range(len(outs))]
        attention = [size in config.attn_resolutions for size in sizes]

        self.temb = TimeEmbedding(config.ch)
        self.conv_in = nn.Conv2d(config.in_ch, config.ch, 3, padding=1)
        self.down = []
        skips = [config.ch]
        for i, (width_in, width) in enumerate(zip(ins, outs, strict=True)):
            widths = [(width_in if j == 0 else width, width) for j in range(config.num_res_blocks)]
            level = Level(widths, temb, attention[i])
            skips += [width] * config.num_res_blocks
            if i < len(outs) - 1:
                level.downsample = Downsample(width)
                skips.append(width)
            self.down.append(level)
        self.mid = Middle(outs[-1], temb)
        up = []
        below = outs[-1]
        for i in reversed(range(len(outs))):
            widths = []
            for _ in range(config.num_res_blocks + 1):
                widths.append((below + skips.pop(), outs[i]))
                below = outs[i]
            level = Level(widths, temb, attention[i])
            if i:
                level.upsample = Upsample(outs[i])
            up.append(level)
        self.up = up[::-1]
        self.norm_out = nn.GroupNorm(32, config.ch * config.ch_mult[0], eps=1e-6)
        self.conv_out = nn.Conv2d(config.ch * config.ch_mult[0], config.out_ch, 3, padding=1)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        size = self.config.image_size
        return {"x": (batch, size, size, self.config.in_ch), "t": (batch,)}

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        temb = self.temb(t)
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for i in range(self.config.num_res_blocks):
                h = level.step(i, h, temb)
                skips.append(h)
            if "downsample" in level:
                h = level.downsample(h)
                skips.append(h)
        h = self.mid(h, temb)
        for level in reversed(self.up):
            for i in range(self.config.num_res_blocks + 1):
                h = level.step(i, nn.concat([h, skips.pop()]), temb)
            if "upsample" in level:
                h = level.upsample(h)
        return self.conv_out(nn.silu(self.norm_out(h)))
