"""A network's parameters on the GPU: convolution weights packed once, in the storage type; all else in float32."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.calls import Conv
from sige_mlx.engine.gpu.forms import Arrangement, arranged
from sige_mlx.engine.gpu.launch import in_device_memory
from sige_mlx.engine.gpu.weights import pack
from sige_mlx.engine.native.weights import Loader, folded
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, Groups
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
        written = {op.value: op for op in groups.ops if isinstance(op, FusedConv)}
        for op in dense.ops:
            if isinstance(op, p.Conv | p.Depthwise) and op.weight != p.NONE:
                key = dense.buffers[op.weight].key
                self._arrays[Kind.WEIGHT, key] = self._weight(op, written[key])
        for slot in dense.buffers:
            if slot.kind is Kind.PARAM:
                self._arrays[slot.kind, slot.key] = self._floats(slot.key)
            elif slot.kind is Kind.BIAS:
                sums = [mx.stack([self._floats(name) for name in names]).sum(0) for names in slot.key]
                self._arrays[slot.kind, slot.key] = in_device_memory(mx.concatenate(sums))
            elif slot.kind is Kind.FOLDED and slot.key[0] == "scale":
                both = [replace(slot, key=(what, *slot.key[1:])) for what in ("scale", "shift")]
                maps = [folded(one, lambda name: np.asarray(self._floats(name))) for one in both]
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

    def _floats(self, name: str) -> mx.array:
        return mx.array(self._load(name)).astype(mx.float32)

    def _weight(self, op: p.Conv | p.Depthwise, written: FusedConv) -> mx.array:
        if written.by_channel:
            by_channel = self._floats(*written.weights(0))
            return mx.contiguous(by_channel.reshape(by_channel.shape[0], -1).T.astype(self._dtype))
        assert isinstance(op, p.Conv)
        parts, read = [], iter(op.source)
        for at, source in enumerate(written.terms):
            rows = mx.concatenate([self._floats(name) for name in written.weights(at)])
            weight = rows.reshape(-1, *source.weight_shape[1:]).astype(self._dtype)
            if source.transposed:  # as a convolution of pixels and zeros it reads its kernel backwards
                weight = weight[:, ::-1, ::-1]
            first = 0
            for _ in source.reads:
                c = next(read).x.c
                parts.append(weight[..., first : first + c])
                first += c
        packed = pack(parts)
        mx.eval(packed)
        return packed
