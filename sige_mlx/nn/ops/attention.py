"""This module defines attention, and the embedding of time steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import mlx.core as mx

from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.nn.ops.base import Op, Params, Shape


@dataclass(frozen=True)
class Attention(Op):
    """It attends to all pixels by scaled dot products (Vaswani et al. 2017, eq. 1); its inputs are q, k, v. Keys and
    values may be those of a larger plane, of which the queries' pixels are a part."""

    heads: int = 1

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        whole(self.heads, "attention: the number of heads", 1)
        q, k, v = inputs
        if k != v or (q[0], q[-1]) != (k[0], k[-1]) or q[-1] % self.heads:
            raise SigeError(f"attention: q, k, v have shapes {list(inputs)} for {self.heads} heads")
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        b, h, w, c = inputs[0].shape
        d = c // self.heads
        q, k, v = (x.reshape(b, -1, self.heads, d).transpose(0, 2, 1, 3) for x in inputs)
        y = mx.softmax(q @ k.transpose(0, 1, 3, 2) * d**-0.5, axis=-1) @ v
        return y.transpose(0, 2, 1, 3).reshape(b, h, w, c)

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        b, h, w, c = output
        return 2 * b * h * w * math.prod(inputs[1][1:3]) * c


@dataclass(frozen=True)
class TimestepEmbedding(Op):
    """It takes sines, then cosines, of `t` at `dim / 2` geometric frequencies (Ho et al. 2020): `(B,)` becomes `(B, 1,
    1, dim)`.

    With `of` "log_snr" the input is λ = log(ᾱ / (1 - ᾱ)), and t = 2000 / π · arctan(exp(-λ / 2)), from 0 to 1000
    (Salimans & Ho 2022, "inv_cos"); λ counts as at most 20 on either side.
    """

    dim: int
    max_period: float = 10000.0
    of: Literal["timestep", "log_snr"] = "timestep"

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        if self.dim % 2 or self.dim < 4:
            raise SigeError(f"timestep_embedding: {self.dim} channels; it takes an even number, at least 4")
        return (inputs[0][0], 1, 1, self.dim)

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        half = self.dim // 2
        f = mx.exp(mx.arange(half, dtype=mx.float32) * (-math.log(self.max_period) / (half - 1)))
        t = inputs[0].astype(mx.float32)
        if self.of == "log_snr":
            t = (2000 / math.pi) * mx.arctan(mx.exp(-0.5 * mx.clip(t, -20, 20)))
        angle = t[:, None, None, None] * f
        return mx.concatenate([mx.sin(angle), mx.cos(angle)], axis=-1)
