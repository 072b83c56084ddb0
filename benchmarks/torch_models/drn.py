"""DRN-D with the head for segmentation, written after the paper (Yu, Koltun and Funkhouser 2017): parameter names are
those of the published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, dilation: int):
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def plain(inputs: int, outputs: int, side: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = side // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, side, stride, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class DRNSegmenter(nn.Module):
    """Logarithms of probabilities (B, classes, H, W)."""

    def __init__(self, classes: int, blocks: Sequence[int], channels: Sequence[int]):
        super().__init__()
        width = channels[0]
        levels = [nn.Sequential(*plain(3, width, 7))]
        for level, (count, wide) in enumerate(zip(blocks, channels, strict=True)):
            layers: list[nn.Module] = []
            for i in range(count):
                stride = STRIDES[level] if i == 0 else 1
                if 2 <= level < 6:
                    layers.append(Bottleneck(width, wide, stride, DILATIONS[level]))
                    width = 4 * wide
                else:
                    layers += plain(width, wide, 3, stride, DILATIONS[level])
                    width = wide
            levels.append(nn.Sequential(*layers))
        self.base = nn.Sequential(*levels)
        self.seg = nn.Conv2d(width, classes, 1)
        self.up = nn.ConvTranspose2d(classes, classes, 16, 8, padding=4, groups=classes, bias=False)
        ramp = 1 - (torch.arange(16) - 7.5).abs() / 8
        self.up.weight.data[:] = ramp[:, None] * ramp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.up(self.seg(self.base(x))), 1)
