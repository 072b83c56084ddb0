"""A network's parameters on the GPU: convolution weights packed once, in the storage type; all else in float32."""

from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.launch import in_device_memory
from sige_mlx.engine.gpu.ops import CALLS, Conv
from sige_mlx.engine.gpu.placing import Parameter
from sige_mlx.engine.weights import Loader, bias, floats, folded
from sige_mlx.graph.fusion import FusedConv, Groups
from sige_mlx.graph.program import Kind, Program, slots_of


class Parameters:
    """The arrays of WEIGHT, BIAS, PARAM and FOLDED slots, as kernels take them: scale and shift of a norm that is the
    same every time are one array."""

    def __init__(self, groups: Groups, dense: Program, load: Loader, dtype: mx.Dtype):
        self._arrays: dict[Parameter, mx.array] = {}
        written = {op.value: op for op in groups.ops if isinstance(op, FusedConv)}
        for op in dense.ops:
            slots = (slot for slot in slots_of(op) if dense.buffers[slot].kind is Kind.WEIGHT)
            for key in (dense.buffers[slot].key for slot in slots):
                packed = CALLS[type(op)].packed(op, written[key], load, dtype)
                mx.eval(packed)  # one by one: what they are packed from need not fit twice
                self._arrays[Parameter(Kind.WEIGHT, key)] = packed
        for slot in dense.buffers:
            if slot.kind is Kind.PARAM:
                self._arrays[Parameter(slot.kind, slot.key)] = mx.array(floats(load, slot.key))
            elif slot.kind is Kind.BIAS:
                self._arrays[Parameter(slot.kind, slot.key)] = in_device_memory(mx.array(bias(slot, load)))
            elif slot.kind is Kind.FOLDED and slot.key[0] == "scale":
                both = [replace(slot, key=(what, *slot.key[1:])) for what in ("scale", "shift")]
                maps = [folded(one, load) for one in both]
                self._arrays[Parameter(slot.kind, slot.key)] = mx.array(np.stack(maps)[:, None])
        mx.eval([*self._arrays.values()])

    def array(self, of: Parameter, call: Conv | None) -> mx.array:
        """The array of a parameter. `call` is the convolution whose weights are to be arranged; that happens once."""
        if of not in self._arrays:
            assert call is not None
            packed = self._arrays[of._replace(arrangement=None)]
            self._arrays[of] = replace(call, weight=packed).arranged(of.arrangement)
            mx.eval(self._arrays[of])
        return self._arrays[of]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())
