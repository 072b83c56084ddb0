"""These operations move pixels or channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Params, Shape


class Rearrangement(Op):
    """It only moves or repeats pixels or channels."""


@dataclass(frozen=True)
class Concat(Rearrangement):
    """It concatenates along channels."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if len({s[:3] for s in inputs}) != 1:
            raise SigeError(f"concat: shapes {list(inputs)} differ in more than channels")
        return (*inputs[0][:3], sum(s[3] for s in inputs))

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.concatenate(list(inputs), axis=-1)


@dataclass(frozen=True)
class UpsampleNearest(Rearrangement):
    """Every pixel becomes a 2x2 block of itself."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        b, h, w, c = inputs[0]
        return (b, 2 * h, 2 * w, c)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        b, h, w, c = inputs[0].shape
        x = mx.broadcast_to(inputs[0][:, :, None, :, None, :], (b, h, 2, w, 2, c))
        return x.reshape(b, 2 * h, 2 * w, c)


@dataclass(frozen=True)
class DownsampleNearest(Rearrangement):
    """It takes every `factor`-th pixel of every `factor`-th row, from the first on; `factor` is a power of two that
    divides the sides."""

    factor: int

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        b, h, w, c = inputs[0]
        if self.factor < 1 or self.factor & (self.factor - 1) or h % self.factor or w % self.factor:
            raise SigeError(f"downsample_nearest: {h}x{w} by {self.factor}; it takes a power of two that divides both")
        return (b, h // self.factor, w // self.factor, c)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0][:, :: self.factor, :: self.factor]


@dataclass(frozen=True)
class AvgPool2d(Op):
    """It takes means of 2x2 pixels."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        b, h, w, c = inputs[0]
        if h % 2 or w % 2:
            raise SigeError(f"avg_pool2d: the image is {h}x{w}; its sides must be even")
        return (b, h // 2, w // 2, c)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        b, h, w, c = inputs[0].shape
        return inputs[0].reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
