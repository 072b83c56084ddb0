"""The depthwise convolution, `metal/depthwise`."""

from dataclasses import dataclass, replace
from typing import ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY, Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.call import Call
from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Results
from sige_mlx.engine.gpu.ops.operands import Source, given
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.engine.gpu.placing import Placing
from sige_mlx.engine.weights import Loader, kernel_by_channel
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv

THREADS = 256


@dataclass(frozen=True)
class Blocking:
    """Pixels and channels of a threadgroup, and pixels of its windows; template arguments of `metal/depthwise`."""

    bm: int
    bc: int
    pixels: int


@dataclass(frozen=True)
class Depthwise(Call):
    """Every channel's own convolution, then the epilogue. `weight` T [taps, c]; without it, the mean of the taps.
    `dtype` is that of the outputs."""

    kernel: ClassVar[str] = "depthwise"

    epilogue: Epilogue
    weight: mx.array | None
    source: Source
    dtype: mx.Dtype

    @classmethod
    def of(cls, op: p.Depthwise, placing: Placing) -> "Depthwise":
        weight = None if op.weight == p.NONE else placing.weight(op.weight, op.source.kh * op.source.kw, op.c)
        return cls(placing.epilogue(op, op.c), weight, placing.source(op.source), placing.dtype)

    @classmethod
    def writes(cls, op: p.Depthwise) -> list[p.Slot]:
        return [*(output.dst for output in op.output), op.sums]

    @classmethod
    def packed(cls, op: p.Depthwise, written: FusedConv, load: Loader, dtype: mx.Dtype) -> mx.array:
        return mx.array(kernel_by_channel(written, load)).astype(dtype)

    @property
    def listed(self) -> mx.array | None:
        return self.epilogue.out.list

    @property
    def results(self) -> Results:
        return self.epilogue.results(self.dtype)

    def blocking(self) -> Blocking | None:
        """None when a tile's window is larger than the kernel takes."""
        s, tile = self.source, self.epilogue.out.tile
        bm = -(-(tile**2) // 16) * 16
        side = (tile - 1) * s.stride
        pixels = bm // tile**2 * (side + s.kh) * (side + s.kw)
        for bc in (64, 32, 16, 8):
            memory = pixels * bc * self.dtype.size + bm * (bc + 4) * 4 + 16 * pixels + 16 * bm
            if memory <= THREADGROUP_MEMORY and (bc == 8 or bc < 2 * self.epilogue.c_out):
                return Blocking(bm, bc, pixels)
        return None

    def _launch(self, blocking: Blocking | None) -> Launch | None:
        b = blocking or self.blocking()
        if b is None:
            return None
        e, s = self.epilogue, self.source
        struct = {"epilogue": e.struct, "has_weight": self.weight is not None, "source": s.struct}
        modulated = s.mod is not None
        arrays = {
            "list": given(e.out.list, mx.int32),
            "weight": given(self.weight, self.dtype),
            **s.arrays("source", modulated, self.dtype),
            **e.arrays(self.dtype),
        }
        defines = (("SOURCES_MODULATED", int(modulated)), *e.defines)
        vec = e.in_fours and s.in_fours
        template = (("T", self.dtype), ("BM", b.bm), ("BC", b.bc), ("PIXELS", b.pixels), ("VEC", vec))
        groups = (-(-e.c_out // b.bc), -(-e.out.tiles // (b.bm // e.out.tile**2)), 1)
        return self._launched(("DepthwiseParams", struct), arrays, defines, template, groups, THREADS, b)

    def by_mlx(self) -> list[mx.array]:
        s, out, value = self.source, reading.listed(self.epilogue.out), mx.array(0.0)
        seen, side = reading.windows(s, out), (out.tile - 1) * s.stride + 1
        for tap in range(s.kh * s.kw):
            y, x = divmod(tap, s.kw)
            taken = seen[:, y : y + side : s.stride, x : x + side : s.stride]
            value = value + (taken / (s.kh * s.kw) if self.weight is None else taken * self.weight[tap])
        return self.epilogue.by_mlx(value, self.dtype)

    def sample(self, sampling: Sampling) -> "Depthwise":
        e, s = self.epilogue, self.source
        fours = e.in_fours and s.in_fours
        c = sampling.channels(e.c_out, fours)
        epilogue = sampling.epilogue(e, None, c, fours, self.dtype)
        source = sampling.source(s, epilogue.out, c, fours, s.mod is not None, self.dtype)
        weight = None
        if sampling.wants(self.weight is not None):
            weight = sampling.normal(s.kh * s.kw, c, dtype=self.dtype)
        return replace(self, epilogue=epilogue, source=source, weight=weight)
