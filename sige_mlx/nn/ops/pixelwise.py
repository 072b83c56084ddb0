"""These operations compute every pixel by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Params, Shape


@dataclass(frozen=True)
class Activation(Op):
    """It is a function of one number. Programs call the `ACTIVATIONS` by their places there."""


@dataclass(frozen=True)
class SiLU(Activation):
    """It computes `x * sigmoid(x)`."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] * mx.sigmoid(inputs[0])


@dataclass(frozen=True)
class ReLU(Activation):
    """It computes `max(x, 0)`."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.maximum(inputs[0], 0)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """It keeps `x`, and below zero a fifth of it: that is the slope of SPADE and pix2pix."""

    SLOPE = 0.2

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.maximum(inputs[0], self.SLOPE * inputs[0])


@dataclass(frozen=True)
class Tanh(Activation):
    """It computes `tanh(x)`."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.tanh(inputs[0])


ACTIVATIONS: tuple[Activation | None, ...] = (None, SiLU(), ReLU(), LeakyReLU(), Tanh())
"""An epilogue can do these last, None being the identity. Their places are the numbers of `sige_activation` in
`cpu/sige_cpu.h` and of `Activation` in `metal/activation.h`."""


@dataclass(frozen=True)
class Add(Op):
    """It computes `a + b`; `b` may be one pixel per image, which is added to all."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        a, b = inputs
        if a != b and b != (a[0], 1, 1, a[3]):
            raise SigeError(f"add: shapes {a} and {b} do not agree")
        return a

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] + inputs[1]


@dataclass(frozen=True)
class Modulate(Op):
    """It computes `x * (1 + scale) + shift`; the second input holds scale, then shift, in 2 C channels. One pixel per
    image makes it FiLM (Perez et al. 2018), a whole plane makes it SPADE (Park et al. 2019, equation 1)."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        (b, h, w, c), m = inputs
        if m not in ((b, h, w, 2 * c), (b, 1, 1, 2 * c)):
            raise SigeError(f"modulate: {inputs[0]} by {m}; it takes {2 * c} channels of the same pixels, or of one")
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        scale, shift = mx.split(inputs[1], 2, axis=-1)
        return inputs[0] * (1 + scale) + shift
