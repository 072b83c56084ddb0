"""Packed weights: every convolution's in the native layout, once, shared by the dense pass and all edits."""

import ctypes

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.weights import Loader, bias, floats, folded, kernel_by_channel, kernels
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, FusedDepthwise, Groups, Written
from sige_mlx.graph.program import Buffer, Kind, Program


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Uninitialised bytes that begin at a multiple of 64."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class PackedWeights:
    """Arrays for the WEIGHT, BIAS, PARAM and FOLDED slots of a network's programs."""

    def __init__(self, groups: Groups, dense: Program, load: Loader):
        self._load = load
        self._arrays: dict[tuple[Kind, object], npt.NDArray[np.generic]] = {}
        written = {op.value: op for op in groups.ops if isinstance(op, Written)}
        for op in dense.ops:
            if isinstance(op, p.Conv | p.Depthwise) and op.weight != p.NONE:
                value = dense.buffers[op.weight].key
                self._arrays[Kind.WEIGHT, value] = self._pack(op, written[value])
        for b in dense.buffers:
            if b.kind is Kind.PARAM:
                self._arrays[b.kind, b.key] = floats(load, b.key)
            elif b.kind is Kind.BIAS:
                self._arrays[b.kind, b.key] = bias(b, load)
            elif b.kind is Kind.FOLDED:
                self._arrays[b.kind, b.key] = folded(b, load)

    def array(self, buffer: Buffer) -> npt.NDArray[np.generic]:
        """The array that belongs into a slot of one of these kinds."""
        return self._arrays[buffer.kind, buffer.key]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())

    def _pack(self, op: p.Conv | p.Depthwise, written: Written) -> npt.NDArray[np.generic]:
        if isinstance(written, FusedDepthwise):
            return kernel_by_channel(written, self._load)
        assert isinstance(op, p.Conv)
        return self._pack_conv(op, written)

    def _pack_conv(self, op: p.Conv, conv: FusedConv) -> npt.NDArray[np.uint8]:
        lib, structs = library(), header().structs
        weights = (structs["sige_weights"] * len(op.source))()
        arrays = [*kernels(conv, self._load)]  # alive until they are packed
        i = 0
        for source, array in zip(conv.sources, arrays, strict=True):
            first = 0
            for _ in source.reads:
                data = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
                weights[i] = structs["sige_weights"](data, source.weight_shape[-1], first)
                first += op.source[i].x.c
                i += 1
        struct = marshal([op])[0].u.conv
        packed = aligned(4 * lib.sige_pack_size(ctypes.byref(struct)))
        lib.sige_pack(ctypes.byref(struct), weights, packed.ctypes.data)
        return packed
