"""A network's parameters on the GPU: convolution weights packed once, in the storage type; all else in float32."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.calls import Conv
from sige_mlx.engine.gpu.forms import Arrangement, arranged
from sige_mlx.engine.gpu.launch import in_device_memory
from sige_mlx.engine.gpu.weights import pack
from sige_mlx.engine.weights import Loader, bias, floats, folded, kernel_by_channel, kernels
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedDepthwise, Groups, Written
from sige_mlx.graph.program import Kind, Program


class Parameters:
    """The arrays of WEIGHT, BIAS, PARAM and FOLDED slots, as kernels take them: an edit need not rearrange any."""

    def __init__(self, groups: Groups, dense: Program, load: Loader, dtype: mx.Dtype):
        self._load = load
        self._dtype = dtype
        self._arrays: dict[tuple[Kind, Any], mx.array] = {}
        self._arranged: dict[tuple[Any, Arrangement], mx.array] = {}
        self.affines: dict[tuple[Any, Any], mx.array] = {}
        """Of norms that are the same every time, by the keys of their FOLDED slots: scale and shift are one array."""
        written = {op.value: op for op in groups.ops if isinstance(op, Written)}
        for op in dense.ops:
            if isinstance(op, p.Conv | p.Depthwise) and op.weight != p.NONE:
                key = dense.buffers[op.weight].key
                self._arrays[Kind.WEIGHT, key] = self._weight(op, written[key])
        for slot in dense.buffers:
            if slot.kind is Kind.PARAM:
                self._arrays[slot.kind, slot.key] = mx.array(floats(load, slot.key))
            elif slot.kind is Kind.BIAS:
                self._arrays[slot.kind, slot.key] = in_device_memory(mx.array(bias(slot, load)))
            elif slot.kind is Kind.FOLDED and slot.key[0] == "scale":
                both = [replace(slot, key=(what, *slot.key[1:])) for what in ("scale", "shift")]
                maps = [folded(one, load) for one in both]
                self.affines[both[0].key, both[1].key] = mx.array(np.stack(maps)[:, None])
        mx.eval([*self._arrays.values()])

    def of(self, program: Program) -> dict[int, mx.array]:
        """The arrays of a program's slots."""
        found = ((i, self._arrays.get((s.kind, s.key))) for i, s in enumerate(program.buffers))
        return {i: array for i, array in found if array is not None}

    def arranged(self, key: Any, call: Conv, how: Arrangement) -> mx.array:
        """A convolution's weights in an arrangement, made once; `key` is that of the slot of its weights."""
        if (key, how) not in self._arranged:
            self._arranged[key, how] = arranged(call, how)
            mx.eval(self._arranged[key, how])
        return self._arranged[key, how]

    @property
    def arrangements(self) -> int:
        """How many weights have been arranged."""
        return len(self._arranged)

    @property
    def nbytes(self) -> int:
        kept = (self._arrays, self._arranged, self.affines)
        return sum(a.nbytes for arrays in kept for a in arrays.values())

    def _weight(self, op: p.Conv | p.Depthwise, written: Written) -> mx.array:
        if isinstance(written, FusedDepthwise):
            return mx.array(kernel_by_channel(written, self._load)).astype(self._dtype)
        assert isinstance(op, p.Conv)
        parts, read = [], iter(op.source)
        for source, kernel in zip(written.sources, kernels(written, self._load), strict=True):
            weight = mx.array(kernel).astype(self._dtype)
            first = 0
            for _ in source.reads:
                c = next(read).x.c
                parts.append(weight[..., first : first + c])
                first += c
        packed = pack(parts)
        mx.eval(packed)
        return packed
