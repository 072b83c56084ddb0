"""A network's parameters on the GPU: convolution weights packed once, in the storage type; all else in float32."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.weights import pack
from sige_mlx.engine.native.weights import Loader
from sige_mlx.graph.fusion import FusedConv
from sige_mlx.graph.program import Kind, Program


class Parameters:
    """The arrays of WEIGHT, BIAS and PARAM slots."""

    def __init__(self, fused: Sequence[object], dense: Program, load: Loader, dtype: mx.Dtype):
        self._load = load
        self._dtype = dtype
        convs = {f.value: f for f in fused if isinstance(f, FusedConv)}
        channels = _channels(dense)
        self._arrays: dict[tuple[Kind, Any], mx.array] = {}
        for slot in dense.slots:
            if slot.kind is Kind.WEIGHT:
                self._arrays[slot.kind, slot.key] = self._packed(convs[slot.key], channels[slot.key])
            elif slot.kind is Kind.BIAS:
                self._arrays[slot.kind, slot.key] = mx.stack([self._floats(name) for name in slot.key]).sum(0)
            elif slot.kind is Kind.PARAM:
                self._arrays[slot.kind, slot.key] = self._floats(slot.key)

    def of(self, program: Program) -> dict[int, mx.array]:
        """The arrays of a program's slots."""
        keys = {(s.kind, s.key): i for i, s in enumerate(program.slots) if s.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM)}
        return {i: self._arrays[key] for key, i in keys.items()}

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())

    def _floats(self, name: str) -> mx.array:
        return mx.array(self._load(name)).astype(mx.float32)

    def _packed(self, conv: FusedConv, channels: Sequence[int]) -> mx.array:
        """`channels` are those of every value that the convolution reads, in order."""
        parts, i = [], 0
        for source in conv.sources:
            weight = self._floats(source.weight).reshape(source.weight_shape).astype(self._dtype)
            first = 0
            for _ in source.view.parts:
                parts.append(weight[..., first : first + channels[i]])
                first, i = first + channels[i], i + 1
        packed = pack(parts)
        mx.eval(packed)
        return packed


def _channels(dense: Program) -> dict[Any, list[int]]:
    """Channels of each source, by the key of the weights."""
    return {dense.slots[op.weight].key: [s.x.c for s in op.source] for op in dense.ops if hasattr(op, "source")}
