"""The discriminators of pix2pixHD (Wang et al. 2018), as GauGAN uses them: overlapping patches at several scales."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Features of `x` `[N, channels, H, W]` after every layer; the last are the scores of its patches."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        strided = [nn.Conv2d(c, width, 4, stride=2, padding=1) for c, width in pairwise((channels, *widths))]
        scores = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in (*strided, scores))

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for layer in self.layers:
            x = layer(x)
            if 0 < len(features) < len(self.layers) - 1:
                x = F.instance_norm(x)
            x = x if layer is self.layers[-1] else F.leaky_relu(x, 0.2)
            features.append(x)
        return features


class MultiscaleDiscriminator(nn.Module):
    """One discriminator for the pictures as they are, the next for pictures of half the size, …"""

    def __init__(self, channels: int, widths: tuple[int, ...], scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels, widths) for _ in range(scales))

    def forward(self, labels: Tensor, pictures: Tensor) -> list[list[Tensor]]:
        x = torch.cat([labels, pictures], dim=1)
        return [discriminator(F.avg_pool2d(x, 2**i)) for i, discriminator in enumerate(self.scales)]
