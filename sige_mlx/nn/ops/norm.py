"""Normalisations: per image and channel, an affine map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Params, Shape


@dataclass(frozen=True)
class Norm(Op):
    """`x * scale + shift` with what `affine` gives; parameters `weight` and `bias` `(C,)` are optional."""

    function: ClassVar[str]
    """Its name in `sige_mlx.nn`, for messages."""
    eps: float

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        """The normalisation of `x` as `(scale, shift)`, each `(B, 1, 1, C)`: the statistics an edit keeps."""
        raise NotImplementedError(type(self).__name__)

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        wrong = [f"a {name} of {shape[0]}" for name, shape in params.items() if shape != (inputs[0][-1],)]
        if wrong:
            raise SigeError(f"{self.function}: {inputs[0][-1]} channels with {' and '.join(wrong)}")
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        scale, shift = self.affine(inputs[0], params)
        return inputs[0] * scale + shift


@dataclass(frozen=True)
class GroupNorm(Norm):
    """Group normalisation (Wu & He 2018) with the biased variance."""

    function = "group_norm"
    groups: int

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if inputs[0][-1] % self.groups:
            raise SigeError(f"group_norm: {inputs[0][-1]} channels with {self.groups} groups, which do not divide them")
        return super().shape(inputs, params)

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        return _affine_of_groups(x, self.groups, self.eps, params)


@dataclass(frozen=True)
class InstanceNorm(Norm):
    """Instance normalisation (Ulyanov et al. 2016): every channel of every image by its own statistics."""

    function = "instance_norm"

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        return _affine_of_groups(x, x.shape[-1], self.eps, params)


@dataclass(frozen=True)
class BatchNorm(Norm):
    """Batch normalisation as in inference: parameters `running_mean` and `running_var` `(C,)` are the statistics."""

    function = "batch_norm"

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        mean, var = (mx.broadcast_to(params[f"running_{name}"], (x.shape[0], x.shape[-1])) for name in ("mean", "var"))
        return _affine(mean, var, self.eps, params)


def _affine_of_groups(x: mx.array, groups: int, eps: float, params: Params) -> tuple[mx.array, mx.array]:
    b, c = x.shape[0], x.shape[-1]
    g = x.reshape(b, -1, groups, c // groups)
    mean = g.mean((1, 3))
    var = ((g - mean[:, None, :, None]) ** 2).mean((1, 3))
    return _affine(mx.repeat(mean, c // groups, axis=1), mx.repeat(var, c // groups, axis=1), eps, params)


def _affine(mean: mx.array, var: mx.array, eps: float, params: Params) -> tuple[mx.array, mx.array]:
    """From statistics (B, C)."""
    scale = mx.rsqrt(var + eps)
    scale = params["weight"] * scale if "weight" in params else scale
    shift = -mean * scale
    shift = params["bias"] + shift if "bias" in params else shift
    return scale[:, None, None, :], shift[:, None, None, :]
