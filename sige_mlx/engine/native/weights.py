"""Weights are packed once, in the native layout; the dense pass and all edits share them."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.weights import Loader, bias, floats, folded, kernel_by_channel, kernels
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, Groups
from sige_mlx.graph.program import Buffer, Kind, Program


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Returns uninitialised bytes that begin at a multiple of 64."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class PackedWeights:
    """It has the arrays for the WEIGHT, BIAS, PARAM and FOLDED slots of a network's programs."""

    def __init__(self, groups: Groups, dense: Program, load: Loader):
        self._arrays: dict[tuple[Kind, object], npt.NDArray[np.float32] | npt.NDArray[np.uint8]] = {}
        written = {op.value: op for op in groups.ops if isinstance(op, FusedConv)}
        convs = {dense.buffers[op.weight].key: op for op in dense.ops if isinstance(op, p.Conv)}
        for b in dense.buffers:
            if b.kind is Kind.WEIGHT:
                conv = written[b.key]
                packed = kernel_by_channel(conv, load) if conv.by_channel else _packed(convs[b.key], conv, load)
                self._arrays[b.kind, b.key] = packed
            elif b.kind is Kind.PARAM:
                self._arrays[b.kind, b.key] = floats(load, b.key)
            elif b.kind is Kind.BIAS:
                self._arrays[b.kind, b.key] = bias(b, load)
            elif b.kind is Kind.FOLDED:
                self._arrays[b.kind, b.key] = folded(b, load)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())

    def array(self, buffer: Buffer) -> npt.NDArray[np.generic]:
        """Returns the array that belongs into a slot of one of these kinds."""
        return self._arrays[buffer.kind, buffer.key]


def _packed(op: p.Conv, conv: FusedConv, load: Loader) -> npt.NDArray[np.uint8]:
    lib, struct_of = library(), header().structs["sige_weights"]
    weights: list[Any] = []
    arrays = [*kernels(conv, load)]  # alive until they are packed
    for term, array in zip(conv.terms, arrays, strict=True):
        data, first = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), 0
        for _ in term.reads:
            weights.append(struct_of(data, term.weight_shape[-1], first))
            first += op.source[len(weights) - 1].x.c
    struct = marshal([op])[0].u.conv
    packed = aligned(4 * lib.sige_pack_size(ctypes.byref(struct)))
    lib.sige_pack(ctypes.byref(struct), (struct_of * len(weights))(*weights), packed.ctypes.data)
    return packed
