"""Losses of a generated picture: hinge, feature matching, and two that compare what is not a matter of chance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Features = list[list[Tensor]]  # of every discriminator's every layer


def hinge(real: Features, fake: Features) -> Tensor:
    """The discriminators' loss."""
    losses = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def adversarial(fake: Features) -> Tensor:
    """The generator's answer to `hinge`."""
    return -torch.stack([features[-1].mean() for features in fake]).mean()


def matching(real: Features, fake: Features) -> Tensor:
    """Mean distance of the discriminators' features (Wang et al. 2018, equation 4)."""
    pairs = (pair for r, f in zip(real, fake, strict=True) for pair in zip(r[:-1], f[:-1], strict=True))
    return torch.stack([F.l1_loss(f, r.detach()) for r, f in pairs]).mean()


def colour(real: Tensor, fake: Tensor, window: int = 4) -> Tensor:
    """Mean distance of the colours of small windows; within one, where a pixel is light or dark is chance."""
    return F.l1_loss(F.avg_pool2d(fake, window), F.avg_pool2d(real, window))


def texture(real: Tensor, fake: Tensor, where: Tensor, levels: int = 3, window: int = 8) -> Tensor:
    """Mean distance of how much there is, in windows of 8 x 8 coefficients, of each band of a Haar pyramid: contrast of
    every scale and direction, wherever its light and dark pixels are. No contrast is wanted but `where` [N, 1, H, W] is
    1."""
    losses = []
    for _ in range(levels):
        (real, *real_bands), (fake, *fake_bands) = haar(real), haar(fake)
        where = F.avg_pool2d(where, 2)
        for r, f in zip(real_bands, fake_bands, strict=True):
            r, f = (F.avg_pool2d(band, window, window // 2) for band in (where * r.abs(), f.abs()))
            losses.append(F.l1_loss(f, r))
    return torch.stack(losses).mean()


def near_outlines(planes: Tensor, reach: int = 12) -> Tensor:
    """1 within `reach` pixels of another label, of maps with a plane for each label: [N, 1, H, W]. Farther away a map
    says nothing of where light and dark pixels are; a network that must put some there draws lines along the border
    and between its own pixels of coarser planes."""
    outlines = (F.max_pool2d(planes, 3, 1, 1) != planes).any(1, keepdim=True).float()
    return F.max_pool2d(outlines, 2 * reach + 1, 1, reach)


def haar(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean of every 2 x 2 pixels, and their differences across, down and diagonally."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return (a + b + c + d) / 4, (a - b + c - d) / 4, (a + b - c - d) / 4, (a - b - c + d) / 4
