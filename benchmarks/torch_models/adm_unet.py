"""The U-Net of Dhariwal & Nichol (2021) without classes in PyTorch, NCHW, with the parameter names of the published
checkpoints.

"Diffusion Models Beat GANs on Image Synthesis", section 3: the U-Net of Ho et al. (2020) with attention in heads of 64
channels at 32x32, 16x16 and 8x8, resampling within residual blocks, adaptive group normalisation, and, after Nichol &
Dhariwal (2021), variances behind the noise in the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ADMConfig:
    """Shape of one network of the family."""

    ch: int = 256
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (8, 16, 32)
    image_size: int = 256
    in_ch: int = 3
    out_ch: int = 6
    head_dim: int = 64


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Cosines, then sines, of `t` `[N]` at the frequencies 10000^(-2 j / dim): `[N, dim]`."""
    exponents = torch.arange(dim // 2, dtype=torch.float32) / (dim // 2)
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """`scale` 2 doubles, 0.5 halves the sides of both branches. Dropout stands in its place and does nothing here."""

    def __init__(self, in_ch: int, out_ch: int, temb_ch: int, scale: float = 1) -> None:
        super().__init__()
        self.scale = scale
        self.in_layers = nn.Sequential(nn.GroupNorm(32, in_ch), nn.SiLU(), nn.Conv2d(in_ch, out_ch, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(temb_ch, 2 * out_ch))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_ch), nn.SiLU(), nn.Dropout(0.1), nn.Conv2d(out_ch, out_ch, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        norm, act, conv = self.in_layers
        h: Tensor = conv(self._resampled(act(norm(x))))
        scale, shift = self.emb_layers(temb)[:, :, None, None].chunk(2, dim=1)
        norm, *rest = self.out_layers
        h = norm(h) * (1 + scale) + shift
        for layer in rest:
            h = layer(h)
        out: Tensor = self.skip_connection(self._resampled(x)) + h
        return out

    def _resampled(self, x: Tensor) -> Tensor:
        if self.scale == 2:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.scale == 0.5 else x


class AttentionBlock(nn.Module):
    """Self-attention over all pixels; `qkv` holds q, k and v of the first head, then those of the next."""

    def __init__(self, ch: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm = nn.GroupNorm(32, ch)
        self.qkv = nn.Conv1d(ch, 3 * ch, 1)
        self.proj_out = nn.Conv1d(ch, ch, 1)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        line = self.norm(x).flatten(2)
        heads = self.qkv(line).unflatten(1, (-1, 3, self.head_dim)).transpose(-1, -2)  # [N, heads, 3, HW, d]
        h = F.scaled_dot_product_attention(*heads.unbind(2)).transpose(-1, -2).flatten(1, 2)
        out: Tensor = x + self.proj_out(h).unflatten(2, x.shape[2:])
        return out


class Stem(nn.Module):
    """The first convolution, in the place of a block."""

    def __init__(self, in_ch: int, ch: int) -> None:
        super().__init__()
        self.add_module("0", nn.Conv2d(in_ch, ch, 3, padding=1))

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        out: Tensor = self.get_submodule("0")(x)
        return out


class Layers(nn.ModuleList):
    """One after the other, each with the time embedding."""

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, temb)
        return x


class ADMUNet(nn.Module):
    """eps(x, t) in the first half of the output's channels: timesteps `t [N]`."""

    def __init__(self, config: ADMConfig) -> None:
        super().__init__()
        self.config = config
        ch, temb, levels = config.ch, 4 * config.ch, range(len(config.ch_mult))
        self.time_embed = nn.Sequential(nn.Linear(ch, temb), nn.SiLU(), nn.Linear(temb, temb))
        self.input_blocks = nn.ModuleList([Stem(config.in_ch, ch)])
        skips = [ch]
        for level in levels:
            width = config.ch * config.ch_mult[level]
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Layers([ResBlock(ch, width, temb), *self._attention(level)]))
                ch = width
                skips.append(ch)
            if level != levels[-1]:
                self.input_blocks.append(Layers([ResBlock(ch, ch, temb, 0.5)]))
                skips.append(ch)
        around = ResBlock(ch, ch, temb), ResBlock(ch, ch, temb)
        self.middle_block = Layers([around[0], AttentionBlock(ch, config.head_dim), around[1]])
        self.output_blocks = nn.ModuleList()
        for level in reversed(levels):
            width = config.ch * config.ch_mult[level]
            for i in range(config.num_res_blocks + 1):
                layers = [ResBlock(ch + skips.pop(), width, temb), *self._attention(level)]
                ch = width
                if level and i == config.num_res_blocks:
                    layers.append(ResBlock(ch, ch, temb, 2))
                self.output_blocks.append(Layers(layers))
        self.out = nn.Sequential(nn.GroupNorm(32, ch), nn.SiLU(), nn.Conv2d(ch, config.out_ch, 3, padding=1))

    def _attention(self, level: int) -> list[nn.Module]:
        attends = self.config.image_size >> level in self.config.attn_resolutions
        width = self.config.ch * self.config.ch_mult[level]
        return [AttentionBlock(width, self.config.head_dim)] if attends else []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        temb = self.time_embed(timestep_embedding(t, self.config.ch))
        skips = [x]
        for block in self.input_blocks:
            skips.append(block(skips[-1], temb))
        h = self.middle_block(skips[-1], temb)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), temb)
        out: Tensor = self.out(h)
        return out
