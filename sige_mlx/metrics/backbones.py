"""The convolutional networks whose features LPIPS and ST-LPIPS compare. Each gives the activations of five layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx
import mlx.nn
import numpy as np

from sige_mlx.errors import SigeError
from sige_mlx.metrics.convolution import Conv2d

Layer = Callable[[mx.array], mx.array]


class Backbone(mlx.nn.Module):
    """`layers`, numbered as in the published checkpoints; their outputs at the places `taken` are its features."""

    def __init__(self, layers: Sequence[Layer], taken: Sequence[int], least: int):
        super().__init__()
        self.features = list(layers)
        self.taken = tuple(taken)
        self.least = least
        """Pixels that a picture's sides have at least: with fewer, nothing is left for the last layers."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the features."""
        convs = [(i, layer) for i, layer in enumerate(self.features) if isinstance(layer, mlx.nn.Conv2d)]
        return tuple([conv.weight.shape[0] for i, conv in convs if i < taken][-1] for taken in self.taken)

    def stage(self, layer: int) -> int:
        """Which of the features a layer belongs to."""
        return next(stage for stage, taken in enumerate(self.taken) if layer <= taken)

    def __call__(self, x: mx.array) -> Iterator[mx.array]:
        for i, layer in enumerate(self.features[: self.taken[-1] + 1]):
            x = layer(x)
            if i in self.taken:
                yield x


class Blur(mlx.nn.Module):
    """Half the size by a binomial window of 3x3 pixels, mirrored two pixels beyond the borders (Zhang 2019, and the
    wider border of ST-LPIPS). Rows come before columns: that is the same window, and less work."""

    def __call__(self, x: mx.array) -> mx.array:
        if min(x.shape[1:3]) < 3:
            raise SigeError(
                f"a plane of {x.shape[2]}×{x.shape[1]} pixels cannot be mirrored two pixels beyond its borders"
            )
        for axis in (1, 2):
            place = np.abs(np.arange(-2, x.shape[axis] + 2))
            place = np.minimum(place, 2 * (x.shape[axis] - 1) - place)
            before, middle, after = (mx.take(x, mx.array(place[i : len(place) - 2 + i : 2]), axis) for i in range(3))
            x = (before + after) / 4 + middle / 2
        return x


def alexnet() -> Backbone:
    """The convolutions of AlexNet, as torchvision has it (Krizhevsky 2014)."""
    conv, relu, pool = Conv2d, mlx.nn.ReLU, mlx.nn.MaxPool2d
    layers = [
        *(conv(3, 64, 11, stride=4, padding=2), relu(), pool(3, 2)),
        *(conv(64, 192, 5, padding=2), relu(), pool(3, 2)),
        *(conv(192, 384, 3, padding=1), relu()),
        *(conv(384, 256, 3, padding=1), relu()),
        *(conv(256, 256, 3, padding=1), relu()),
    ]
    return Backbone(layers, (1, 4, 7, 9, 11), least=31)


def vgg16() -> Backbone:
    """The convolutions of VGG16 (Simonyan and Zisserman 2015)."""
    return Backbone(_vgg(lambda channels: [mlx.nn.MaxPool2d(2, 2)]), (3, 8, 15, 22, 29), least=16)


def shift_tolerant_alexnet() -> Backbone:
    """AlexNet with blurred strides (Ghildyal and Liu 2022)."""
    conv, relu, pool = Conv2d, mlx.nn.ReLU, mlx.nn.MaxPool2d
    layers = [
        *(conv(3, 64, 11, padding=2), Blur(), relu(), pool(3, 1), Blur()),
        *(conv(64, 192, 5, padding=2), relu(), pool(3, 1), Blur()),
        *(conv(192, 384, 3, padding=1), relu()),
        *(conv(384, 256, 3, padding=1), relu()),
        *(conv(256, 256, 3, padding=1), relu()),
    ]
    return Backbone(layers, (2, 6, 10, 12, 14), least=21)


def shift_tolerant_vgg16() -> Backbone:
    """VGG16 with blurred strides (Ghildyal and Liu 2022)."""
    layers = _vgg(lambda channels: [mlx.nn.MaxPool2d(2, 1), Blur()])
    return Backbone(layers, (3, 9, 17, 25, 33), least=18)


def _vgg(halving: Callable[[int], list[Layer]]) -> list[Layer]:
    layers: list[Layer] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += halving(channels) if layers else []
        for _ in range(count):
            layers += [Conv2d(channels, width, 3, padding=1), mlx.nn.ReLU()]
            channels = width
    return layers
