"""Packed weights: every convolution's in the native layout, once, shared by the dense pass and all edits."""

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native import library as c
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv
from sige_mlx.graph.program import Kind, Program, Slot

Floats = npt.NDArray[np.float32]
Loader = Callable[[str], npt.NDArray[np.generic]]
"""Gives a parameter by name, in MLX's layout; asked for each name about once, so that it may read a file lazily."""


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Uninitialised bytes that begin at a multiple of 64."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class PackedWeights:
    """Arrays for the WEIGHT, BIAS and PARAM slots of a network's programs."""

    def __init__(self, fused: Sequence[object], dense: Program, load: Loader):
        self._load = load
        self._arrays: dict[tuple[Kind, object], npt.NDArray[np.generic]] = {}
        convs = {f.value: f for f in fused if isinstance(f, FusedConv)}
        for op in dense.ops:
            if isinstance(op, p.Conv):
                value = dense.slots[op.weight].key
                self._arrays[Kind.WEIGHT, value] = self._pack(op, convs[value])
        for slot in dense.slots:
            if slot.kind is Kind.PARAM:
                self._arrays[slot.kind, slot.key] = self._floats(slot.key)
            elif slot.kind is Kind.BIAS:
                self._arrays[slot.kind, slot.key] = sum(
                    (self._floats(n) for n in slot.key[1:]), self._floats(slot.key[0])
                )

    def array(self, slot: Slot) -> npt.NDArray[np.generic]:
        """The array of a WEIGHT, BIAS or PARAM slot."""
        return self._arrays[slot.kind, slot.key]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())

    def _floats(self, name: str) -> Floats:
        return np.ascontiguousarray(self._load(name), np.float32)

    def _pack(self, op: p.Conv, conv: FusedConv) -> npt.NDArray[np.uint8]:
        lib = c.library()
        weights = (c.Weights * len(op.source))()
        alive = []
        i = 0
        for source in conv.sources:
            array = self._floats(source.weight)
            alive.append(array)
            first = 0
            for _ in source.view.parts:
                data = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
                weights[i] = c.Weights(data, source.weight_shape[-1], first)
                first += op.source[i].x.c
                i += 1
        struct = marshal([op])[0].u.conv
        packed = aligned(4 * lib.sige_pack_size(ctypes.byref(struct)))
        lib.sige_pack(ctypes.byref(struct), weights, packed.ctypes.data)
        return packed
