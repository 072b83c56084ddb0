"""The forms in which a kernel can compute a call: with its weights as they are packed, or arranged for less work.

Arranging weights takes time and memory, so a form stands for itself, with weights of the right shape that nobody makes,
until the kernel that reads them is known to be trusted.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum, auto

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Call, Conv
from sige_mlx.engine.gpu.kernels.conv_shape import transform_pays
from sige_mlx.engine.gpu.phases import as_phased, can_be_phased, pack_phases, zeros
from sige_mlx.engine.gpu.weights import k_groups
from sige_mlx.engine.gpu.winograd import POINTS, transformed


class Arrangement(Enum):
    """What a convolution's weights can be made into."""

    PHASES = auto()
    TRANSFORMED = auto()


def forms(call: Call) -> Iterator[tuple[Arrangement | None, Call]]:
    """A call's forms, the one that should be fastest first, the call itself last. Weights of an arrangement stand for
    those of `arranged`."""
    if isinstance(call, Conv):
        if can_be_phased(call):
            yield Arrangement.PHASES, as_phased(call, _stand_in(call, 4, (2, 2)))
        elif transform_pays(call):
            yield Arrangement.TRANSFORMED, replace(call, transformed=_stand_in(call, 1, (1, POINTS)))
    yield None, call


def arranged(call: Conv, how: Arrangement) -> mx.array:
    """The weights of a call in an arrangement, lazy."""
    shapes = [(s.kh, s.kw, s.x.c) for s in call.sources]
    if how is Arrangement.PHASES:
        return mx.contiguous(pack_phases(call.weight, call.epilogue.c_out, shapes, zeros(call)))
    return transformed(call.weight, call.epilogue.c_out, shapes)


def _stand_in(call: Conv, times: int, taps: tuple[int, int]) -> mx.array:
    """Zeros in the shape of packed weights, of `taps` and `times` as many panels."""
    groups = sum(k_groups(*taps, s.x.c) for s in call.sources)
    return mx.zeros((times * call.weight.shape[0], groups, *call.weight.shape[2:]), call.weight.dtype)
