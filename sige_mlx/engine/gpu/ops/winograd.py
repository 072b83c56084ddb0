"""3x3 convolutions by F(4x4, 3x3) (Lavin and Gray 2016): `metal/conv/winograd.h` computes them, from transformed
weights.

A tile of 4x4 pixels takes 36 multiplications a channel instead of 144. 1x1 kernels that are added to 3x3 ones come
along as 3x3 kernels of one tap.
"""

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.operands import Source
from sige_mlx.engine.gpu.ops.weights import pack, unpack

TILE = 4
POINTS = 36

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


def with_taps(s: Source) -> Source:
    """A source read by a 3x3 kernel: of a 1x1 kernel the tap in the middle."""
    return s if s.kh == 3 else replace(s, kh=3, kw=3, pad_top=s.pad_top + 1, pad_left=s.pad_left + 1)


def transformed(packed: mx.array, o: int, shapes: Sequence[tuple[int, int, int]]) -> mx.array:
    """From packed weights of sources of the shapes (kH, kW, I) the transformed ones, packed as those of 6x6 kernels."""
    parts = []
    for weight, (kh, _, _) in zip(unpack(packed, o, shapes), shapes, strict=True):
        g = mx.array(_G if kh == 3 else _G[:, 1:2])
        parts.append(mx.einsum("ya,xb,oabi->oyxi", g, g, weight.astype(mx.float32)).astype(packed.dtype))
    return pack(parts)
