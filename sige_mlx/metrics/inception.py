"""The Inception network of 2015 (Szegedy et al. 2016) as FID uses it, in the port to PyTorch by Seitzer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn

from sige_mlx.nn import BatchNorm

SIDE = 299
"""Of the pictures that the network was trained on."""

Pool = Callable[[mx.array], mx.array]


class Conv(NamedTuple):
    """A convolution of a block: what follows `branch` in its name, output channels, kernel, stride. It keeps the size
    of its plane, but for strides of 2, which pad nothing."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Chain = Sequence[Conv | tuple[Conv, Conv]]
"""Convolutions one after the other; a pair at the end reads the same values, and both results are kept."""


class ConvNorm(mlx.nn.Module):
    """A convolution, its batch normalisation and ReLU."""

    def __init__(self, channels: int, spec: Conv, padded: bool = True):
        super().__init__()
        same = padded and spec.stride == 1
        padding = (spec.kernel[0] // 2, spec.kernel[1] // 2) if same else (0, 0)
        self.conv = mlx.nn.Conv2d(channels, spec.channels, spec.kernel, spec.stride, padding, bias=False)
        self.bn = BatchNorm(spec.channels, eps=1e-3, affine=True)

    def __call__(self, x: mx.array) -> mx.array:
        return mlx.nn.relu(self.bn(self.conv(x)))


class Mixed(mlx.nn.Module):
    """Chains of convolutions of the same values beside a pooling, which a 1x1 convolution may follow."""

    def __init__(self, channels: int, chains: Sequence[Chain], pool: Pool, pooled: int = 0):
        super().__init__()
        self.chains = [[_names(step) for step in chain] for chain in chains]
        self.pool = pool
        for chain in chains:
            width = channels
            for step in chain:
                for spec in _both(step):
                    self[f"branch{spec.name}"] = ConvNorm(width, spec)
                width = _both(step)[0].channels
        if pooled:
            self.branch_pool = ConvNorm(channels, Conv("_pool", pooled))

    def __call__(self, x: mx.array) -> mx.array:
        found = []
        for chain in self.chains:
            values = [x]
            for names in chain:
                values = [self[name](values[0]) for name in names]
            found += values
        y = self.pool(x)
        return mx.concatenate([*found, self.branch_pool(y) if "branch_pool" in self else y], -1)


class Inception(mlx.nn.Module):
    """Features (B, 2048) of pictures (B, H, W, 3) in [-1, 1], which FID has at 299 x 299; sides are at least 75."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, Conv("", 32, (3, 3), 2))
        self.Conv2d_2a_3x3 = ConvNorm(32, Conv("", 32, (3, 3)), padded=False)
        self.Conv2d_2b_3x3 = ConvNorm(32, Conv("", 64, (3, 3)))
        self.Conv2d_3b_1x1 = ConvNorm(64, Conv("", 80))
        self.Conv2d_4a_3x3 = ConvNorm(80, Conv("", 192, (3, 3)), padded=False)
        self.Mixed_5b = _mixed_5(192, 32)
        self.Mixed_5c = _mixed_5(256, 64)
        self.Mixed_5d = _mixed_5(288, 64)
        self.Mixed_6a = _mixed_6a(288)
        self.Mixed_6b = _mixed_6(128)
        self.Mixed_6c = _mixed_6(160)
        self.Mixed_6d = _mixed_6(160)
        self.Mixed_6e = _mixed_6(192)
        self.Mixed_7a = _mixed_7a(768)
        self.Mixed_7b = _mixed_7(1280, average)
        self.Mixed_7c = _mixed_7(2048, mlx.nn.MaxPool2d(3, 1, 1))  # not the mean, as the ported network has it

    def __call__(self, x: mx.array) -> mx.array:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halved(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halved(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((1, 2))


def average(x: mx.array) -> mx.array:
    """Means over windows of 3x3 pixels, of those of them that are in the plane, as TensorFlow has it."""
    means = mlx.nn.AvgPool2d(3, 1, 1)
    return means(x) / means(mx.ones((1, *x.shape[1:3], 1)))


halved = mlx.nn.MaxPool2d(3, 2)


def _both(step: Conv | tuple[Conv, Conv]) -> tuple[Conv, ...]:
    return (step,) if isinstance(step, Conv) else step


def _names(step: Conv | tuple[Conv, Conv]) -> list[str]:
    return [f"branch{spec.name}" for spec in _both(step)]


def _mixed_5(channels: int, pooled: int) -> Mixed:
    chains: list[Chain] = [
        [Conv("1x1", 64)],
        [Conv("5x5_1", 48), Conv("5x5_2", 64, (5, 5))],
        [Conv("3x3dbl_1", 64), Conv("3x3dbl_2", 96, (3, 3)), Conv("3x3dbl_3", 96, (3, 3))],
    ]
    return Mixed(channels, chains, average, pooled)


def _mixed_6a(channels: int) -> Mixed:
    chains: list[Chain] = [
        [Conv("3x3", 384, (3, 3), 2)],
        [Conv("3x3dbl_1", 64), Conv("3x3dbl_2", 96, (3, 3)), Conv("3x3dbl_3", 96, (3, 3), 2)],
    ]
    return Mixed(channels, chains, halved)


def _mixed_6(width: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    chains: list[Chain] = [
        [Conv("1x1", 192)],
        [Conv("7x7_1", width), Conv("7x7_2", width, row), Conv("7x7_3", 192, column)],
        [
            Conv("7x7dbl_1", width),
            *(Conv("7x7dbl_2", width, column), Conv("7x7dbl_3", width, row)),
            *(Conv("7x7dbl_4", width, column), Conv("7x7dbl_5", 192, row)),
        ],
    ]
    return Mixed(768, chains, average, 192)


def _mixed_7a(channels: int) -> Mixed:
    chains: list[Chain] = [
        [Conv("3x3_1", 192), Conv("3x3_2", 320, (3, 3), 2)],
        [
            *(Conv("7x7x3_1", 192), Conv("7x7x3_2", 192, (1, 7)), Conv("7x7x3_3", 192, (7, 1))),
            Conv("7x7x3_4", 192, (3, 3), 2),
        ],
    ]
    return Mixed(channels, chains, halved)


def _mixed_7(channels: int, pool: Pool) -> Mixed:
    row, column = (1, 3), (3, 1)
    chains: list[Chain] = [
        [Conv("1x1", 320)],
        [Conv("3x3_1", 384), (Conv("3x3_2a", 384, row), Conv("3x3_2b", 384, column))],
        [
            *(Conv("3x3dbl_1", 448), Conv("3x3dbl_2", 384, (3, 3))),
            (Conv("3x3dbl_3a", 384, row), Conv("3x3dbl_3b", 384, column)),
        ],
    ]
    return Mixed(channels, chains, pool, 192)
