"""Dilated residual networks for segmentation (Yu, Koltun and Funkhouser 2017), of their kind D."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn

from sige_mlx.nn import BatchNorm

REDUCTION = 8
"""Of a picture's sides, by which they must be divisible."""


@dataclass(frozen=True)
class DRNConfig:
    """The defaults are DRN-D-105's. `blocks` and `channels` are those of eight levels: two of plain convolutions, four
    of bottleneck blocks, which give four times these channels, and two of plain convolutions again."""

    classes: int = 19
    blocks: tuple[int, ...] = (1, 1, 3, 4, 23, 3, 1, 1)
    channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 512, 512)


_STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
_DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)
_RESIDUAL = range(2, 6)  # the levels of bottleneck blocks
_EXPANSION = 4


class ConvNorm(mlx.nn.Module):
    """A convolution of odd side that keeps the size of its plane, or halves it, and its batch normalisation."""

    def __init__(self, channels: int, out: int, side: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.conv = mlx.nn.Conv2d(channels, out, side, stride, side // 2, bias=False)
        self.norm = BatchNorm(out, affine=True)
        self.dilation = dilation

    def __call__(self, x: mx.array) -> mx.array:
        return self.norm(dilated(self.conv, x, self.dilation))


class Activated(ConvNorm):
    """The same, and ReLU."""

    def __call__(self, x: mx.array) -> mx.array:
        return mlx.nn.relu(super().__call__(x))


class Bottleneck(mlx.nn.Module):
    """A 3x3 convolution of few channels between two 1x1 ones, beside a skip, which is a 1x1 convolution where the shape
    changes."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int):
        super().__init__()
        out = width * _EXPANSION
        self.conv1 = Activated(channels, width, 1)
        self.conv2 = Activated(width, width, 3, stride, dilation)
        self.conv3 = ConvNorm(width, out, 1)
        if stride != 1 or channels != out:
            self.downsample = ConvNorm(channels, out, 1, stride)

    def __call__(self, x: mx.array) -> mx.array:
        skipped = self.downsample(x) if "downsample" in self else x
        return mlx.nn.relu(self.conv3(self.conv2(self.conv1(x))) + skipped)


class DRN(mlx.nn.Module):
    """Scores (B, H, W, classes) of each pixel of pictures (B, H, W, 3), whose sides are multiples of 8. They are scores
    of an eighth of the size, enlarged; their softmax is the network's estimate of probabilities."""

    def __init__(self, config: DRNConfig):
        super().__init__()
        width = config.channels[0]
        self.stem = Activated(3, width, 7)
        self.levels: list[list[mlx.nn.Module]] = []
        for level, (count, out) in enumerate(zip(config.blocks, config.channels, strict=True)):
            layers: list[mlx.nn.Module] = []
            for i in range(count):
                stride, dilation = _STRIDES[level] if i == 0 else 1, _DILATIONS[level]
                if level in _RESIDUAL:
                    layers.append(Bottleneck(width, out, stride, dilation))
                    width = out * _EXPANSION
                else:
                    layers.append(Activated(width, out, 3, stride, dilation))
                    width = out
            self.levels.append(layers)
        self.seg = mlx.nn.Conv2d(width, config.classes, 1)

    def __call__(self, x: mx.array) -> mx.array:
        x = self.stem(x)
        for layers in self.levels:
            for layer in layers:
                x = layer(x)
        return enlarged(self.seg(x))


def dilated(conv: mlx.nn.Conv2d, x: mx.array, dilation: int) -> mx.array:
    """`conv`, a convolution that keeps the size of planes, dilated: pixels of `x` (B, H, W, C) that are `dilation`
    apart make a plane, and each such plane is a picture of its own. MLX' own way takes minutes on the CPU."""
    if dilation == 1:
        return conv(x)
    batch, height, width, _ = x.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    x = mx.pad(x, [(0, 0), (0, rows * dilation - height), (0, columns * dilation - width), (0, 0)])
    apart = x.reshape(batch, rows, dilation, columns, dilation, -1).transpose(0, 2, 4, 1, 3, 5)
    y = conv(apart.reshape(batch * dilation**2, rows, columns, -1))
    together = y.reshape(batch, dilation, dilation, rows, columns, -1).transpose(0, 3, 1, 4, 2, 5)
    return together.reshape(batch, rows * dilation, columns * dilation, -1)[:, :height, :width]


def enlarged(x: mx.array) -> mx.array:
    """`x` (B, H, W, C) eight times as large, linearly in each direction, as the published networks' transposed
    convolution does, which no training changed: beyond the borders are zeros, so the scores there are smaller, those of
    all classes by one factor."""
    for axis in (1, 2):
        length = x.shape[axis]
        # Pixel 8i + k lies (k - 3.5) / 8 pixels from pixel i: before its middle for k < 4, behind it for the others.
        shares = [abs(k - 3.5) / REDUCTION for k in range(REDUCTION)]
        widths: list[tuple[int, int]] = [(0, 0)] * 4
        widths[axis] = (1, 1)
        padded = mx.pad(x, widths)
        before, behind = mx.split(padded, [length], axis)[0], mx.split(padded, [2], axis)[1]
        near = [before if k < REDUCTION // 2 else behind for k in range(REDUCTION)]
        parts = mx.stack([(1 - share) * x + share * other for share, other in zip(shares, near, strict=True)], axis + 1)
        x = parts.reshape(*x.shape[:axis], REDUCTION * length, *x.shape[axis + 1 :])
    return x
