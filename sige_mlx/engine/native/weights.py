"""Weights are packed once, in the native layout; the dense pass and all edits share them."""

import ctypes
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, Groups
from sige_mlx.graph.program import Buffer, Kind, Program

Floats = npt.NDArray[np.float32]
Loader = Callable[[str], npt.NDArray[np.generic]]
"""It gives a parameter by name, in MLX's layout. It is asked for each name about once, so it may read a file lazily."""


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Returns uninitialised bytes that begin at a multiple of 64."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class PackedWeights:
    """It has the arrays for the WEIGHT, BIAS, PARAM and FOLDED slots of a network's programs."""

    def __init__(self, groups: Groups, dense: Program, load: Loader):
        self._load = load
        self._arrays: dict[tuple[Kind, object], npt.NDArray[np.float32] | npt.NDArray[np.uint8]] = {}
        written = {op.value: op for op in groups.ops if isinstance(op, FusedConv)}
        convs = {dense.buffers[op.weight].key: op for op in dense.ops if isinstance(op, p.Conv)}
        for b in dense.buffers:
            if b.kind is Kind.WEIGHT:
                conv = written[b.key]
                packed = self._by_channel(conv) if conv.by_channel else self._pack(convs[b.key], conv)
                self._arrays[b.kind, b.key] = packed
            elif b.kind is Kind.PARAM:
                self._arrays[b.kind, b.key] = self._floats(b.key)
            elif b.kind is Kind.BIAS:
                sums = [np.sum([self._floats(name) for name in names], axis=0) for names in b.key]
                self._arrays[b.kind, b.key] = np.concatenate(sums)
            elif b.kind is Kind.FOLDED:
                self._arrays[b.kind, b.key] = folded(b, self._floats)

    def array(self, buffer: Buffer) -> npt.NDArray[np.generic]:
        """Returns the array that belongs into a slot of one of these kinds."""
        return self._arrays[buffer.kind, buffer.key]

    def _floats(self, name: str) -> Floats:
        return np.ascontiguousarray(self._load(name), np.float32)

    def _by_channel(self, conv: FusedConv) -> Floats:
        weight = self._floats(*conv.weights(0))
        return np.ascontiguousarray(weight.reshape(len(weight), -1).T)

    def _pack(self, op: p.Conv, conv: FusedConv) -> npt.NDArray[np.uint8]:
        lib, struct_of = library(), header().structs["sige_weights"]
        weights: list[Any] = []
        alive = []
        for at, term in enumerate(conv.terms):
            array = np.concatenate([self._floats(name) for name in conv.weights(at)])
            if term.transposed:  # a convolution of pixels and zeros reads the kernel backwards
                array = np.ascontiguousarray(array[:, ::-1, ::-1])
            alive.append(array)
            data, first = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), 0
            for _ in term.reads:
                weights.append(struct_of(data, term.weight_shape[-1], first))
                first += op.source[len(weights) - 1].x.c
        struct = marshal([op])[0].u.conv
        packed = aligned(4 * lib.sige_pack_size(ctypes.byref(struct)))
        lib.sige_pack(ctypes.byref(struct), (struct_of * len(weights))(*weights), packed.ctypes.data)
        return packed


def folded(buffer: Buffer, load: Callable[[str], Floats]) -> Floats:
    """Returns the scale or the shift of a FOLDED slot."""
    what, norm, names = buffer.key
    params = {name: mx.array(load(path)) for name, path in names}
    scale, shift = norm.affine(mx.zeros((1, 1, 1, *buffer.shape)), params)
    return np.ascontiguousarray(np.asarray(scale if what == "scale" else shift).reshape(-1), np.float32)
