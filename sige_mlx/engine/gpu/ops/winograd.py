"""3x3 convolutions by F(4x4, 3x3) (Lavin and Gray 2016): `metal/conv/winograd.h` computes them, from transformed
weights.

A tile of 4x4 pixels takes 36 multiplications a channel instead of 144. 1x1 kernels that are added to 3x3 ones take 16,
as they would alone: they become zero at the other points.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.weights import pack, unpack

TILE = 4
POINTS, INNER = 36, 16
QUARTERS = 4
"""Simdgroups share the points out: each has a quarter of the inner ones, and then of the others."""

# The rows of G: a kernel's row as a polynomial at 0, 1, -1, 2, -2 and infinity, each scaled so that the transforms of
# pixels are of whole numbers.
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)


def can_be_transformed(call: Convolution) -> bool:
    """Whether tiles and kernels are of the sizes that the transforms are for."""
    out, kernels = call.epilogue.out, {(s.kh, s.kw) for s in call.sources}
    return (
        call.phase_shift is None
        and (out.list is None or out.tile == TILE)
        and (not call.epilogue.sums or out.tile == TILE)
        and (3, 3) in kernels
        and kernels <= {(3, 3), (1, 1)}
        and all(s.stride == 1 for s in call.sources)
    )


def points(kh: int) -> list[int]:
    """The points of a kernel of `kh` x `kh`, row by row of 6x6, in the order in which weights lie: `point_of` of
    `winograd.h`."""
    inner = [6 * (1 + i // 4) + 1 + i % 4 for i in range(INNER)]
    if kh == 1:
        return inner
    outer = [*range(6), *range(30, 36), *(6 * row + side for row in range(1, 5) for side in (0, 5))]
    quarters = (inner[4 * q : 4 * q + 4] + outer[5 * q : 5 * q + 5] for q in range(QUARTERS))
    return [point for quarter in quarters for point in quarter]


def transformed(packed: mx.array, o: int, shapes: Sequence[tuple[int, int, int]]) -> mx.array:
    """From packed weights of sources of the shapes (kH, kW, I) the transformed ones, packed as kernels of as many taps
    as they have points."""
    parts = []
    for weight, (kh, _, _) in zip(unpack(packed, o, shapes), shapes, strict=True):
        g = mx.array(_G if kh == 3 else _G[:, 1:2])
        numbers = mx.einsum("ya,xb,oabi->oyxi", g, g, weight.astype(mx.float32)).astype(packed.dtype)
        numbers = numbers.reshape(o, 1, POINTS, weight.shape[-1])
        parts.append(numbers[:, :, mx.array(points(kh))])
    return pack(parts)
