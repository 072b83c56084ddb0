"""3x3 convolutions of planes that are seen twice as large, in phases.

Output pixels of equal parity (y % 2, x % 2) see the same pixels of the small plane through the same taps: after
nearest-neighbour upsampling two of the three taps of a row meet one pixel and add up, between zeros at most two meet a
pixel at all. So each of the four phases is a 2x2 convolution of the small plane, with 4/9 of the multiplications.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import mlx.core as mx

from sige_mlx.engine.gpu.ops.convolution import AnyConvolution, Convolution
from sige_mlx.engine.gpu.ops.operands import Source
from sige_mlx.engine.gpu.ops.weights import pack, unpack

Rows = list[mx.array]


def can_be_phased(call: Convolution) -> bool:
    """Whether every source is doubled in the same way and read by a 3x3 kernel, padded by one zero."""
    return call.epilogue.out.tile % 2 == 0 and all(
        s.resample == 1
        and (s.kh, s.kw, s.stride, s.pad_top, s.pad_left) == (3, 3, 1, 1, 1)
        and not s.reflect
        and s.mod is None
        and s.zeros == zeros(call)
        for s in call.sources
    )


def zeros(call: Convolution) -> bool:
    """Whether zeros lie between the pixels."""
    return call.sources[0].zeros


def as_phased(call: AnyConvolution, weight: mx.array) -> AnyConvolution:
    """The same convolution with the weights of `pack_phases`."""
    shift = 0 if zeros(call) else 1  # how far phase 1 reads beyond phase 0
    return replace(call, weight=weight, sources=tuple(_small(s, shift) for s in call.sources), phase_shift=shift)


def _small(s: Source, padding: int) -> Source:
    return replace(s, kh=2, kw=2, pad_top=padding, pad_left=padding, resample=0, zeros=False)


def pack_phases(packed: mx.array, o: int, shapes: Sequence[tuple[int, int, int]], zeros: bool) -> mx.array:
    """From packed 3x3 weights those of the four phases, packed, one after the other."""
    taps = _between_zeros if zeros else _upsampled
    parts = unpack(packed, o, shapes)
    return mx.concatenate([pack([_phase(w, taps, a, b) for w in parts]) for a in range(2) for b in range(2)])


def _phase(weight: mx.array, taps: Callable[[Rows, int], Rows], a: int, b: int) -> mx.array:
    """(O, 3, 3, I) to (O, 2, 2, I)."""
    rows = taps([weight[:, y] for y in range(3)], a)
    return mx.stack([mx.stack(taps([row[:, x] for x in range(3)], b), axis=1) for row in rows], axis=1)


def _upsampled(w: Rows, parity: int) -> Rows:
    return [w[0] + w[1], w[2]] if parity else [w[0], w[1] + w[2]]


def _between_zeros(w: Rows, parity: int) -> Rows:
    return [w[0], w[2]] if parity else [w[1], mx.zeros_like(w[1])]
