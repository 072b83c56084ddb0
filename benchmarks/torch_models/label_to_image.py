"""The generators of GauGAN and GAN Compression in PyTorch, NCHW, with the parameter names of the published checkpoints.

Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization" (2019), appendix A; Li et al., "GAN
Compression" (2020), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Modulator = Callable[[int, int], nn.Module]
"""From hidden features and channels: what computes a scale, or a shift."""


class Settings(Protocol):
    """What the networks have in common, under the names of the published configuration files."""

    @property
    def semantic_nc(self) -> int: ...

    @property
    def output_nc(self) -> int: ...

    @property
    def num_upsampling_layers(self) -> str: ...

    @property
    def crop_size(self) -> int: ...

    @property
    def aspect_ratio(self) -> float: ...


class Separable(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width), nn.InstanceNorm2d(width), nn.Conv2d(width, out, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


def plain(width: int, out: int) -> nn.Module:
    return nn.Conv2d(width, out, 3, padding=1)


class SPADE(nn.Module):
    def __init__(self, channels: int, labels: int, hidden: int, modulator: Modulator) -> None:
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = modulator(hidden, channels)
        self.mlp_beta = modulator(hidden, channels)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        hidden = self.mlp_shared(F.interpolate(labels, size=x.shape[2:], mode="nearest"))
        out: Tensor = self.param_free_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return out


class ResBlock(nn.Module):
    def __init__(self, widths: tuple[int, int, int], shortcut: bool, norm: Callable[[int], SPADE]) -> None:
        super().__init__()
        width_in, middle, width_out = widths
        self.conv_0 = nn.Conv2d(width_in, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, width_out, 3, padding=1)
        self.conv_s = nn.Conv2d(width_in, width_out, 1, bias=False) if shortcut else None
        self.norm_0 = norm(width_in)
        self.norm_1 = norm(middle)
        self.norm_s = norm(width_in) if shortcut else None

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = self.conv_0(F.leaky_relu(self.norm_0(x, labels), 0.2))
        h = self.conv_1(F.leaky_relu(self.norm_1(h, labels), 0.2))
        out: Tensor = h + (x if self.conv_s is None else self.conv_s(self.norm_s(x, labels)))  # type: ignore[misc]
        return out


class Generator(nn.Module):
    """`labels [N, semantic_nc, H, W]` → `[N, output_nc, H, W]` in [-1, 1]."""

    conv_img: nn.Conv2d

    def __init__(self, settings: Settings, head: int) -> None:
        super().__init__()
        self.doublings = {"normal": 5, "more": 6, "most": 7}[settings.num_upsampling_layers]
        width = settings.crop_size // 2**self.doublings
        self.latent = (round(width / settings.aspect_ratio), width)
        self.fc = nn.Conv2d(settings.semantic_nc, head, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        x = self.fc(F.interpolate(labels, size=self.latent, mode="nearest"))
        blocks = [block for _, block in self.named_children() if isinstance(block, ResBlock)]
        for i, block in enumerate(blocks):
            x = block(x, labels)
            # Twice the size after every block but the last; the middle ones share a plane if there are too few.
            if i < len(blocks) - 1 and (i != 1 or self.doublings > 5):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        out: Tensor = torch.tanh(self.conv_img(F.leaky_relu(x, 0.2)))
        return out


class SPADEGenerator(Generator):
    def __init__(self, settings: Settings, ngf: int, nhidden: int) -> None:
        super().__init__(settings, 16 * ngf)

        def norm(channels: int) -> SPADE:
            return SPADE(channels, settings.semantic_nc, nhidden, plain)

        width = 16 * ngf
        for name in ("head_0", "G_middle_0", "G_middle_1"):
            self.add_module(name, ResBlock((width, width, width), False, norm))
        for i in range(5 if settings.num_upsampling_layers == "most" else 4):
            self.add_module(f"up_{i}", ResBlock((width, width // 2, width // 2), True, norm))
            width //= 2
        self.conv_img = nn.Conv2d(width, settings.output_nc, 3, padding=1)


class SubMobileSPADEGenerator(Generator):
    def __init__(self, settings: Settings, config_str: str) -> None:
        first, *rest = (int(part) for part in config_str.split("_"))
        super().__init__(settings, 16 * first)
        width = 16 * first
        names = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")
        for name, factor, c in zip(names, (16, 16, 16, 8, 4, 2, 1), rest, strict=True):

            def norm(channels: int, hidden: int = 2 * c) -> SPADE:
                return SPADE(channels, settings.semantic_nc, hidden, Separable)

            up = name.startswith("up")
            out = factor * c if up else width
            self.add_module(name, ResBlock((width, factor * c, out), up, norm))
            width = out
        self.conv_img = nn.Conv2d(width, settings.output_nc, 3, padding=1)
