"""This module defines convolutions, plain, depthwise and transposed, and the linear layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import mlx.core as mx

from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Padding, Params, Shape

PadMode = Literal["zero", "reflect"]
PAD_MODES: tuple[PadMode, ...] = get_args(PadMode)
"""They say what lies beyond an image's borders. Their places are the numbers of `sige_pad_mode` in `cpu/sige_cpu.h`."""


class Convolution(Op):
    """A convolution reads by a kernel: weight `(O, kH, kW, I)`, optional bias `(O,)`. The attributes, but for
    `transposed`, are those of `Conv2d`; other operations have some of them."""

    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))
    groups: int = 1
    pad_mode: PadMode = "zero"
    transposed: bool = False

    def kernel(self, weight: Shape) -> Shape:
        """Returns the shape of a weight as `(O, kH, kW, I)`."""
        return weight


@dataclass(frozen=True)
class Conv2d(Convolution):
    """It convolves in two dimensions, with weight `(O, kH, kW, I)`, optional bias `(O,)`. With `groups` equal to the
    channels it is depthwise: weight `(C, kH, kW, 1)`. `pad_mode` "reflect" mirrors the image at its borders, without
    repeating them.
    """

    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))
    groups: int = 1
    pad_mode: PadMode = "zero"

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        (b, h, w, c), (o, kh, kw, i) = inputs[0], params["weight"]
        if c != i * self.groups:
            wanted = f"{params['weight']} wants {i * self.groups}"
            raise SigeError(f"conv2d: the input has {c} channels, the weight {wanted}")
        whole(self.stride, "conv2d: the stride", 1)
        for side in (side for axis in self.padding for side in axis):
            whole(side, "conv2d: a padding", 0)
        if self.groups not in (1, c) or (self.groups > 1 and o != c):
            raise SigeError(f"conv2d: {self.groups} groups for {c} channels and {o} outputs; it takes 1, or one each")
        if self.pad_mode not in PAD_MODES:
            raise SigeError(f"conv2d: pad_mode is {self.pad_mode!r}; it is one of {', '.join(PAD_MODES)}")
        (top, bottom), (left, right) = self.padding
        if self.pad_mode == "reflect" and (max(top, bottom) >= h or max(left, right) >= w):
            raise SigeError(f"conv2d: a {h}x{w} image cannot be reflected by {self.padding}; it must be larger")
        h, w = h + top + bottom, w + left + right
        if h < kh or w < kw:
            raise SigeError(f"conv2d: the kernel is {kh}x{kw} and the padded image {h}x{w}; it must fit in")
        return (b, (h - kh) // self.stride + 1, (w - kw) // self.stride + 1, o)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        x, ((top, bottom), (left, right)) = inputs[0], self.padding
        if self.pad_mode == "reflect":
            x = _reflected(_reflected(x, 1, top, bottom), 2, left, right)
            top = bottom = left = right = 0
        padding = ([top, left], [bottom, right])
        y = mx.conv_general(x, params["weight"], stride=self.stride, padding=padding, groups=self.groups)
        return y + params["bias"] if "bias" in params else y

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        return math.prod(output[:3]) * math.prod(params["weight"])


@dataclass(frozen=True)
class ConvTranspose2d(Convolution):
    """It is a transposed convolution that doubles the sides: kernel 3x3, stride 2, padding 1, one more row and column
    at the end (`torch.nn.ConvTranspose2d(…, 3, 2, 1, output_padding=1)`); weight `(O, 3, 3, I)`, optional bias `(O,)`.

    That is a convolution of stride 1 and padding 1, by the kernel turned half round, over an image with zeros between
    the pixels."""

    padding = ((1, 1), (1, 1))
    transposed = True

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        (b, h, w, c), (o, kh, kw, i) = inputs[0], params["weight"]
        if c != i or (kh, kw) != (3, 3):
            raise SigeError(f"conv_transpose2d: {c} channels and weight {params['weight']}; it takes (O, 3, 3, {c})")
        return (b, 2 * h, 2 * w, o)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        y = mx.conv_transpose2d(inputs[0], params["weight"], stride=2, padding=1, output_padding=1)
        return y + params["bias"] if "bias" in params else y

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        return math.prod(inputs[0][:3]) * math.prod(params["weight"])


@dataclass(frozen=True)
class Linear(Convolution):
    """It computes `x @ weight.T + bias` over channels, as a 1x1 convolution does; weight `(O, I)`, bias `(O,)`."""

    def kernel(self, weight: Shape) -> Shape:
        o, i = weight
        return (o, 1, 1, i)

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        o, i = params["weight"]
        if inputs[0][-1] != i:
            raise SigeError(f"linear: the input has {inputs[0][-1]} channels, the weight {params['weight']} wants {i}")
        return (*inputs[0][:-1], o)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        y = inputs[0] @ params["weight"].T
        return y + params["bias"] if "bias" in params else y

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        return math.prod(output[:-1]) * math.prod(params["weight"])


def _reflected(x: mx.array, axis: int, before: int, after: int) -> mx.array:
    """Mirrors `x` at both ends of an axis; the border itself is not repeated."""
    size = x.shape[axis]
    if not before and not after:
        return x
    index = [*range(before, 0, -1), *range(size), *range(size - 2, size - 2 - after, -1)]
    return mx.take(x, mx.array(index), axis=axis)
