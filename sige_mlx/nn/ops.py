"""The operations a network is made of: each says its output's shape, its cost, and what it computes.

This is the only model of an operation in the project. A layer called with arrays runs `Op.__call__`; called with a
symbolic tensor it leaves the same `Op` in the graph, and every executor is tested against it.

Values are NHWC, `(B, H, W, C)`. A vector per image, such as a time embedding, is the image of one pixel `(B, 1, 1, C)`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.errors import SigeError

Shape = tuple[int, ...]
Params = Mapping[str, mx.array]
Padding = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right)), as the networks pad asymmetrically before a strided convolution."""


@dataclass(frozen=True)
class Op:
    """Base of all operations. Instances hold attributes, never tensors, and compare by value."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        """Shape of the output; raises `SigeError` when the inputs cannot be combined."""
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        raise NotImplementedError(type(self).__name__)

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        """Multiply-accumulates of one dense evaluation; per-pixel arithmetic counts as none."""
        return 0


@dataclass(frozen=True)
class Conv2d(Op):
    """2-D convolution; weight `(O, kH, kW, I)`, optional bias `(O,)`."""

    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        (b, h, w, c), (o, kh, kw, i) = inputs[0], params["weight"]
        if c != i:
            raise SigeError(f"conv2d: the input has {c} channels, the weight {params['weight']} wants {i}")
        (top, bottom), (left, right) = self.padding
        h, w = h + top + bottom, w + left + right
        if h < kh or w < kw:
            raise SigeError(f"conv2d: the kernel is {kh}x{kw} and the padded image {h}x{w}; it must fit in")
        return (b, (h - kh) // self.stride + 1, (w - kw) // self.stride + 1, o)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        (top, bottom), (left, right) = self.padding
        y = mx.conv_general(inputs[0], params["weight"], stride=self.stride, padding=([top, left], [bottom, right]))
        return y + params["bias"] if "bias" in params else y

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        return math.prod(output[:3]) * math.prod(params["weight"])


@dataclass(frozen=True)
class Linear(Op):
    """`x @ weight.T + bias` over channels; weight `(O, I)`, bias `(O,)`."""

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


@dataclass(frozen=True)
class GroupNorm(Op):
    """Group normalisation (Wu & He 2018) with the biased variance; weight and bias `(C,)`."""

    groups: int
    eps: float

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if inputs[0][-1] != params["weight"][0] or inputs[0][-1] % self.groups:
            raise SigeError(
                f"group_norm: {inputs[0][-1]} channels with {self.groups} groups and a weight of {params['weight'][0]}"
            )
        return inputs[0]

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        """The normalisation of `x` as `(scale, shift)`, each `(B, 1, 1, C)`: the statistics an edit keeps."""
        b, c = x.shape[0], x.shape[-1]
        g = x.reshape(b, -1, self.groups, c // self.groups)
        mean = g.mean((1, 3))
        var = ((g - mean[:, None, :, None]) ** 2).mean((1, 3))
        rstd = mx.repeat(mx.rsqrt(var + self.eps), c // self.groups, axis=1)
        scale = params["weight"] * rstd
        shift = params["bias"] - mx.repeat(mean, c // self.groups, axis=1) * scale
        return scale[:, None, None, :], shift[:, None, None, :]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        scale, shift = self.affine(inputs[0], params)
        return inputs[0] * scale + shift


@dataclass(frozen=True)
class SiLU(Op):
    """`x * sigmoid(x)`."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] * mx.sigmoid(inputs[0])


@dataclass(frozen=True)
class Add(Op):
    """`a + b`; `b` may be one pixel per image, added to all."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        a, b = inputs
        if a != b and b != (a[0], 1, 1, a[3]):
            raise SigeError(f"add: shapes {a} and {b} do not agree")
        return a

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] + inputs[1]


@dataclass(frozen=True)
class Concat(Op):
    """Concatenation along channels."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if len({s[:3] for s in inputs}) != 1:
            raise SigeError(f"concat: shapes {list(inputs)} differ in more than channels")
        return (*inputs[0][:3], sum(s[3] for s in inputs))

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.concatenate(list(inputs), axis=-1)


@dataclass(frozen=True)
class UpsampleNearest(Op):
    """Every pixel becomes a 2x2 block of itself."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        b, h, w, c = inputs[0]
        return (b, 2 * h, 2 * w, c)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        b, h, w, c = inputs[0].shape
        x = mx.broadcast_to(inputs[0][:, :, None, :, None, :], (b, h, 2, w, 2, c))
        return x.reshape(b, 2 * h, 2 * w, c)


@dataclass(frozen=True)
class Attention(Op):
    """Scaled dot-product attention over all pixels (Vaswani et al. 2017, eq. 1); inputs q, k, v."""

    heads: int = 1

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if len(set(inputs)) != 1 or inputs[0][-1] % self.heads:
            raise SigeError(f"attention: q, k, v have shapes {list(inputs)} for {self.heads} heads")
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        b, h, w, c = inputs[0].shape
        d = c // self.heads
        q, k, v = (x.reshape(b, h * w, self.heads, d).transpose(0, 2, 1, 3) for x in inputs)
        y = mx.softmax(q @ k.transpose(0, 1, 3, 2) * d**-0.5, axis=-1) @ v
        return y.transpose(0, 2, 1, 3).reshape(b, h, w, c)

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        b, h, w, c = output
        return 2 * b * (h * w) ** 2 * c


@dataclass(frozen=True)
class TimestepEmbedding(Op):
    """Sines, then cosines, of `t` at `dim / 2` geometric frequencies (Ho et al. 2020): `(B,)` to `(B, 1, 1, dim)`."""

    dim: int
    max_period: float = 10000.0

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if self.dim % 2 or self.dim < 4:
            raise SigeError(f"timestep_embedding: {self.dim} channels; it takes an even number, at least 4")
        return (inputs[0][0], 1, 1, self.dim)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        half = self.dim // 2
        f = mx.exp(mx.arange(half, dtype=mx.float32) * (-math.log(self.max_period) / (half - 1)))
        angle = inputs[0].astype(mx.float32)[:, None, None, None] * f
        return mx.concatenate([mx.sin(angle), mx.cos(angle)], axis=-1)
