"""What an operation is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

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
