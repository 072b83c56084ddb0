"""The DDPM U-Net in PyTorch, NCHW, with the parameter names of the published checkpoints.

Ho et al., "Denoising Diffusion Probabilistic Models" (2020), appendix B; used unchanged by DDIM (Song et al., 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

C = TypeVar("C")


class FromFile:
    """A configuration that files hold under the names of its fields."""

    @classmethod
    def from_dict(cls: type[C], config: Mapping[str, Any]) -> C:
        """From a configuration file's content: `{"model": {...}, "image_size": N}`; other keys are ignored."""
        flat = {**config["model"], "image_size": config["image_size"]}
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # a dataclass
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in flat.items() if k in names})


@dataclass(frozen=True)
class DDPMConfig(FromFile):
    """Shape of one network of the family; the field names are those of the published configuration files."""

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    image_size: int = 256
    in_ch: int = 3
    out_ch: int = 3
    resamp_with_conv: bool = True


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sines, then cosines, of `t` `[N]` at `dim / 2` geometric frequencies from 1 to 1 / max_period: `[N, dim]`."""
    half = dim // 2
    j = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) / (half - 1) * j)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class TimestepMLP(nn.Module):
    def __init__(self, ch: int) -> None:
        super().__init__()
        self.ch = ch
        self.dense = nn.ModuleList([nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)])

    def forward(self, t: Tensor) -> Tensor:
        temb: Tensor = self.dense[1](F.silu(self.dense[0](timestep_embedding(t, self.ch))))
        return temb


class ResBlock(nn.Module):
    def __init__(self, in_ch: int, out_ch: int, temb_ch: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.temb_proj = nn.Linear(temb_ch, out_ch)
        self.norm2 = group_norm(out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        h = h + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class AttentionBlock(nn.Module):
    """Self-attention over all pixels, one head."""

    def __init__(self, ch: int) -> None:
        super().__init__()
        self.norm = group_norm(ch)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(ch, ch, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        # [N, 1, HW, C]: the ONNX exporter takes attention with an axis for the heads only.
        q, k, v = (conv(h).flatten(2).transpose(1, 2).unsqueeze(1) for conv in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])
        out: Tensor = x + self.proj_out(h)
        return out


class Downsample(nn.Module):
    def __init__(self, ch: int, with_conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ch, ch, 3, stride=2) if with_conv else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        if self.conv is None:
            return F.avg_pool2d(x, 2)
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))  # padded on the right and the bottom only
        return out


class Upsample(nn.Module):
    def __init__(self, ch: int, with_conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ch, ch, 3, padding=1) if with_conv else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x if self.conv is None else self.conv(x)


class Stage(nn.Module):
    """One resolution on the way down or up: residual blocks, each with attention after it or none, then resampling."""

    def __init__(self, blocks: list[nn.Module], attention: list[nn.Module]) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.attn = nn.ModuleList(attention)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def step(self, j: int, x: Tensor, temb: Tensor) -> Tensor:
        """Block `j` and its attention."""
        h: Tensor = self.block[j](x, temb)
        return self.attn[j](h) if len(self.attn) else h


class Middle(nn.Module):
    def __init__(self, block_1: nn.Module, attn_1: nn.Module, block_2: nn.Module) -> None:
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = block_1, attn_1, block_2

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h: Tensor = self.block_2(self.attn_1(self.block_1(x, temb)), temb)
        return h


class UNet(nn.Module):
    """What the families share: `x [N, in_ch, H, W]`, a condition `t [N]` → `[N, out_ch, H, W]`. They make the blocks.

    Attention belongs to levels, chosen by their resolution at `image_size`; pictures of other sizes (multiples of
    `2 ** (levels - 1)`) run through the same layers.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        levels = len(config.ch_mult)
        widths = [config.ch * m for m in config.ch_mult]

        self.temb = self.embedding()
        self.conv_in = nn.Conv2d(config.in_ch, config.ch, 3, padding=1)

        skips, ch = [config.ch], config.ch
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            stage = self._stage(level, [ch] + [width] * (config.num_res_blocks - 1))
            skips += [width] * config.num_res_blocks
            ch = width
            if level < levels - 1:
                stage.downsample = self.downsample(width)
                skips.append(width)
            self.down.append(stage)

        self.mid = Middle(self.residual(ch, ch), self.attention(ch), self.residual(ch, ch))

        self.up = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            inputs = []
            for _ in range(config.num_res_blocks + 1):
                inputs.append(ch + skips.pop())
                ch = width
            stage = self._stage(level, inputs)
            if level > 0:
                stage.upsample = self.upsample(width)
            self.up.insert(0, stage)

        self.norm_out = group_norm(ch)
        self.conv_out = nn.Conv2d(ch, config.out_ch, 3, padding=1)

    def _stage(self, level: int, inputs: list[int]) -> Stage:
        width = self.config.ch * self.config.ch_mult[level]
        attends = self.config.image_size >> level in self.config.attn_resolutions
        return Stage([self.residual(i, width) for i in inputs], [self.attention(width) for _ in inputs if attends])

    def embedding(self) -> nn.Module:
        raise NotImplementedError

    def residual(self, in_ch: int, out_ch: int) -> nn.Module:
        raise NotImplementedError

    def attention(self, ch: int) -> nn.Module:
        raise NotImplementedError

    def downsample(self, ch: int) -> nn.Module:
        raise NotImplementedError

    def upsample(self, ch: int) -> nn.Module:
        raise NotImplementedError

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        temb = self.temb(t)
        skips: list[Tensor] = [self.conv_in(x)]
        for stage in self.down:
            assert isinstance(stage, Stage)
            for j in range(len(stage.block)):
                skips.append(stage.step(j, skips[-1], temb))
            if stage.downsample is not None:
                skips.append(stage.downsample(skips[-1], temb))

        h = self.mid(skips[-1], temb)

        for stage in reversed(list(self.up)):
            assert isinstance(stage, Stage)
            for j in range(len(stage.block)):
                h = stage.step(j, torch.cat([h, skips.pop()], dim=1), temb)
            if stage.upsample is not None:
                h = stage.upsample(h, temb)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class DDPMUNet(UNet):
    """eps(x, t): timesteps `t [N]`."""

    config: DDPMConfig

    def embedding(self) -> nn.Module:
        return TimestepMLP(self.config.ch)

    def residual(self, in_ch: int, out_ch: int) -> nn.Module:
        return ResBlock(in_ch, out_ch, 4 * self.config.ch)

    def attention(self, ch: int) -> nn.Module:
        return AttentionBlock(ch)

    def downsample(self, ch: int) -> nn.Module:
        return Downsample(ch, self.config.resamp_with_conv)

    def upsample(self, ch: int) -> nn.Module:
        return Upsample(ch, self.config.resamp_with_conv)
