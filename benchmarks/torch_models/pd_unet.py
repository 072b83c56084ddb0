"""The U-Net of Progressive Distillation in PyTorch, NCHW, with the parameter names of the published checkpoints.

Salimans & Ho, "Progressive Distillation for Fast Sampling of Diffusion Models" (2022), section 5 and appendix: the
U-Net of Ho et al. (2020) with the blocks of Dhariwal & Nichol (2021): resampling within residual blocks, adaptive group
normalisation, several heads; given the log signal-to-noise ratio in place of a time step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_models.ddpm_unet import FromFile, UNet, group_norm, timestep_embedding


@dataclass(frozen=True)
class PDConfig(FromFile):
    """Shape of one network of the family; the field names are those of the published configuration files."""

    ch: int = 64
    ch_mult: tuple[int, ...] = (1, 2, 4, 6, 8)
    num_res_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (8, 16, 32)
    image_size: int = 128
    in_ch: int = 3
    out_ch: int = 6
    head_dim: int = 64
    temb_ch: int = 768


class LogSNRMLP(nn.Module):
    """log SNR `[N]` → `[N, temb_ch]`, by way of the time 0 … 1000 at which a cosine schedule has it."""

    def __init__(self, ch: int, temb_ch: int) -> None:
        super().__init__()
        self.ch = ch
        self.dense = nn.ModuleList([nn.Linear(ch, temb_ch), nn.Linear(temb_ch, temb_ch)])

    def forward(self, log_snr: Tensor) -> Tensor:
        time = torch.atan(torch.exp(log_snr.clamp(-20, 20) / -2)) / (math.pi / 2)
        temb: Tensor = self.dense[1](F.silu(self.dense[0](timestep_embedding(1000 * time, self.ch))))
        return temb


class ResBlock(nn.Module):
    """`scale` 2 doubles, 0.5 halves the sides of both branches."""

    def __init__(self, in_ch: int, out_ch: int, temb_ch: int, scale: float = 1) -> None:
        super().__init__()
        self.scale = scale
        self.norm1 = group_norm(in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.temb_proj = nn.Linear(temb_ch, 2 * out_ch)
        self.norm2 = group_norm(out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h: Tensor = self.conv1(self._resampled(F.silu(self.norm1(x))))
        scale, shift = self.temb_proj(F.silu(temb))[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        x = self._resampled(x)
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))

    def _resampled(self, x: Tensor) -> Tensor:
        if self.scale == 2:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.scale == 0.5 else x


class AttentionBlock(nn.Module):
    """Self-attention over all pixels; `qkv` holds q of all heads, then k, then v."""

    def __init__(self, ch: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm = group_norm(ch)
        self.qkv = nn.Conv2d(ch, 3 * ch, 1)
        self.proj_out = nn.Conv2d(ch, ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        heads = self.qkv(self.norm(x)).view(n, 3, c // self.head_dim, self.head_dim, height * width)
        q, k, v = heads.transpose(-1, -2).unbind(1)
        h = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, height, width)
        out: Tensor = x + self.proj_out(h)
        return out


class PDUNet(UNet):
    """(x̂, ε̂)(x, λ): log SNR `λ [N]`; the clean image is in the first half of the output channels."""

    config: PDConfig

    def embedding(self) -> nn.Module:
        return LogSNRMLP(self.config.ch, self.config.temb_ch)

    def residual(self, in_ch: int, out_ch: int) -> nn.Module:
        return ResBlock(in_ch, out_ch, self.config.temb_ch)

    def attention(self, ch: int) -> nn.Module:
        return AttentionBlock(ch, self.config.head_dim)

    def downsample(self, ch: int) -> nn.Module:
        return ResBlock(ch, ch, self.config.temb_ch, scale=0.5)

    def upsample(self, ch: int) -> nn.Module:
        return ResBlock(ch, ch, self.config.temb_ch, scale=2)
