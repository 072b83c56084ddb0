"""This module defines what an operation is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

Shape = tuple[int, ...]
Params = Mapping[str, mx.array]
Padding = tuple[tuple[int, int], tuple[int, int]]
"""It is ((top, bottom), (left, right)), for networks pad asymmetrically before a strided convolution."""


@dataclass(frozen=True)
class Op:
    """All operations derive from this. Instances hold attributes, never tensors, and compare by value."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        """Returns the shape of the output. Raises `SigeError` when the inputs cannot be combined."""
        return inputs[0]

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        raise NotImplementedError(type(self).__name__)

    def macs(self, inputs: Sequence[Shape], params: Mapping[str, Shape], output: Shape) -> int:
        """Returns the multiply-accumulates of one dense evaluation; per-pixel arithmetic counts as none."""
        return 0
