"""A network's parameters on the GPU: convolution weights packed once, in the storage type; all else in float32."""

from dataclasses import replace

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.launch import in_device_memory
from sige_mlx.engine.gpu.ops import Conv
from sige_mlx.engine.gpu.ops.weights import pack
from sige_mlx.engine.gpu.placing import Parameter
from sige_mlx.engine.native.weights import Loader, folded
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedDepthwise, Groups, Written
from sige_mlx.graph.program import Kind, Program


class Parameters:
    """The arrays of WEIGHT, BIAS, PARAM and FOLDED slots, as kernels take them: scale and shift of a norm that is the
    same every time are one array."""

    def __init__(self, groups: Groups, dense: Program, load: Loader, dtype: mx.Dtype):
        self._load = load
        self._dtype = dtype
        self._arrays: dict[Parameter, mx.array] = {}
        written = {op.value: op for op in groups.ops if isinstance(op, Written)}
        for op in dense.ops:
            if isinstance(op, p.Conv | p.Depthwise) and op.weight != p.NONE:
                key = dense.buffers[op.weight].key
                self._arrays[Parameter(Kind.WEIGHT, key)] = self._weight(op, written[key])
        for slot in dense.buffers:
            if slot.kind is Kind.PARAM:
                self._arrays[Parameter(slot.kind, slot.key)] = self._floats(slot.key)
            elif slot.kind is Kind.BIAS:
                sums = [mx.stack([self._floats(name) for name in names]).sum(0) for names in slot.key]
                self._arrays[Parameter(slot.kind, slot.key)] = in_device_memory(mx.concatenate(sums))
            elif slot.kind is Kind.FOLDED and slot.key[0] == "scale":
                both = [replace(slot, key=(what, *slot.key[1:])) for what in ("scale", "shift")]
                maps = [folded(one, lambda name: np.asarray(self._floats(name))) for one in both]
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

    def _floats(self, name: str) -> mx.array:
        return mx.array(self._load(name)).astype(mx.float32)

    def _weight(self, op: p.Conv | p.Depthwise, written: Written) -> mx.array:
        if isinstance(written, FusedDepthwise):
            assert written.source.weight is not None
            by_channel = self._floats(written.source.weight)
            return mx.contiguous(by_channel.reshape(by_channel.shape[0], -1).T.astype(self._dtype))
        assert isinstance(op, p.Conv)
        parts, read = [], iter(op.source)
        for at, source in enumerate(written.sources):
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
