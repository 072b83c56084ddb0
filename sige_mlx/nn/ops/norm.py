"""A normalisation is an affine map for each image and channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import mlx.core as mx

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Params, Shape


@dataclass(frozen=True)
class Norm(Op):
    """It computes `x * scale + shift` with what `affine` gives; parameters `weight` and `bias` `(C,)` are optional."""

    function: ClassVar[str]
    """Messages call it by this name, which is that in `sige_mlx.nn`."""
    eps: float

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        """Returns the normalisation of `x` as `(scale, shift)`, each `(B, 1, 1, C)`. Edits keep these of the
        original."""
        raise NotImplementedError(type(self).__name__)

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        real(self.eps, f"{self.function}: eps", 0, 1)
        wrong = [f"a {name} of {shape[0]}" for name, shape in params.items() if shape != (inputs[0][-1],)]
        if wrong:
            raise SigeError(f"{self.function}: {inputs[0][-1]} channels with {' and '.join(wrong)}")
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        scale, shift = self.affine(inputs[0], params)
        return inputs[0] * scale + shift


@dataclass(frozen=True)
class SampleNorm(Norm):
    """It normalises groups of channels by their own mean and biased variance, for every image anew."""

    def groups_of(self, channels: int) -> int:
        """Returns how many groups so many channels make."""
        raise NotImplementedError(type(self).__name__)

    def moments(self, x: mx.array) -> mx.array:
        """Returns the mean and the biased variance of every group, `(B, 2, G)`."""
        b, h, w, c = x.shape
        groups = self.groups_of(c)
        g = x.reshape(b, h, w, groups, c // groups)
        mean = _mean(g)
        return mx.stack([s.reshape(b, groups) for s in (mean, _mean((g - mean) ** 2))], axis=1)

    def affine_of(self, moments: mx.array, channels: int, params: Params) -> tuple[mx.array, mx.array]:
        """Returns the normalisation of so many channels as `affine` does, with these moments."""
        mean, var = mx.repeat(moments, channels // moments.shape[2], axis=2).swapaxes(0, 1)
        return _affine(mean, var, self.eps, params)

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        return self.affine_of(self.moments(x), x.shape[-1], params)


@dataclass(frozen=True)
class GroupNorm(SampleNorm):
    """It normalises `groups` groups of neighbouring channels (Wu & He 2018)."""

    function = "group_norm"
    groups: int

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        whole(self.groups, "group_norm: the number of groups", 1)
        if inputs[0][-1] % self.groups:
            raise SigeError(f"group_norm: {inputs[0][-1]} channels with {self.groups} groups, which do not divide them")
        return super().shape(inputs, params)

    def groups_of(self, channels: int) -> int:
        return self.groups


@dataclass(frozen=True)
class InstanceNorm(SampleNorm):
    """It normalises every channel by itself (Ulyanov et al. 2016)."""

    function = "instance_norm"

    def groups_of(self, channels: int) -> int:
        return channels


@dataclass(frozen=True)
class BatchNorm(Norm):
    """It normalises as batch normalisation does in inference: `running_mean` and `running_var` `(C,)` are
    parameters."""

    function = "batch_norm"

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        mean, var = (mx.broadcast_to(params[f"running_{name}"], (x.shape[0], x.shape[-1])) for name in ("mean", "var"))
        return _affine(mean, var, self.eps, params)


def _mean(x: mx.array) -> mx.array:
    """Takes the mean over pixels and the channels of a group: (B, H, W, G, C) becomes (B, 1, 1, G, 1).

    MLX adds up in float32, one after the other, and is off by 2e-4 for 2^15 pixels. Where the variance is close to zero
    the scale multiplies that by up to eps^-1/2. So rows are added up first, then the mean of what is left is added.
    """
    mean = _by_rows(x)
    return mean + _by_rows(x - mean)


def _by_rows(x: mx.array) -> mx.array:
    return x.mean((2, 4), keepdims=True).mean(1, keepdims=True)


def _affine(mean: mx.array, var: mx.array, eps: float, params: Params) -> tuple[mx.array, mx.array]:
    """Makes scale and shift of statistics (B, C)."""
    scale = mx.rsqrt(var + eps)
    scale = params["weight"] * scale if "weight" in params else scale
    shift = -mean * scale
    shift = params["bias"] + shift if "bias" in params else shift
    return scale[:, None, None, :], shift[:, None, None, :]
