"""The network that LPIPS and ST-LPIPS share: features of two pictures, their differences, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn

from sige_mlx.metrics.backbones import Backbone

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_TINY = 1e-10


class Heads(mlx.nn.Module):
    """How much each channel of five layers counts: `weights`, each (1, 1, 1, C)."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.weights = [mx.random.uniform(0, 2 / width, (1, 1, 1, width)) for width in widths]


class PerceptualNetwork(mlx.nn.Module):
    """Distances of pictures `x` and `y` (B, H, W, 3) from 0 to 1: at each of five layers a plane (B, h, w) of sums over
    channels of weighted squared differences of features, which are of length 1 at each place (Zhang et al. 2018)."""

    def __init__(self, backbone: Backbone, heads: Heads | None = None):
        super().__init__()
        self.backbone = backbone
        self.heads = heads or Heads(backbone.widths)

    def __call__(self, x: mx.array, y: mx.array) -> list[mx.array]:
        return self.planes(self.features(x), self.features(y))

    def planes(self, x: list[mx.array], y: list[mx.array]) -> list[mx.array]:
        """Those of pictures with these `features`."""
        return [((fx - fy) ** 2 * w).sum(-1) for fx, fy, w in zip(x, y, self.heads.weights, strict=True)]

    def features(self, x: mx.array) -> list[mx.array]:
        """Of pictures (B, H, W, 3), of length 1 at each place of each layer."""
        found = self.backbone((2 * x - 1 - mx.array(_SHIFT)) / mx.array(_SCALE))
        return [f / (mx.sqrt((f**2).sum(-1, keepdims=True)) + _TINY) for f in found]
