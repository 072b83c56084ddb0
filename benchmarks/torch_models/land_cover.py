"""A small U-Net that tells kinds of sea and land apart; parameter names are those of `sige_mlx.metrics.land_cover`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class LandCoverSegmenter(nn.Module):
    """Scores (B, classes, H, W) of pictures (B, 3, H, W) from -1 to 1."""

    def __init__(self, classes: int, widths: Sequence[int]):
        super().__init__()
        self.halving = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in zip((3, *widths), widths, strict=False))
        self.level = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for width in widths)
        self.joining = nn.ModuleList(nn.Conv2d(i + o, o, 3, 1, 1) for o, i in pairwise(widths))
        self.scores = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size, planes = x.shape[2:], []
        for halving, level in zip(self.halving, self.level, strict=True):
            x = torch.relu(level(torch.relu(halving(x))))
            planes.append(x)
        for plane, joining in zip(planes[-2::-1], reversed(self.joining), strict=True):
            x = torch.relu(joining(torch.cat([F.interpolate(x, scale_factor=2), plane], 1)))
        return F.interpolate(self.scores(x), tuple(size), mode="bilinear")
