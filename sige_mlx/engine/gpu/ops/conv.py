"""The sparse convolution, `metal/conv`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.blocking import (
    AnyBlocking,
    NarrowBlocking,
    WinogradBlocking,
    groups_of,
)
from sige_mlx.engine.gpu.ops.call import Arrangement, Call
from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.cost import SHARED_CHANNELS, blocking_of, shares_of, transform_pays
from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Results
from sige_mlx.engine.gpu.ops.operands import Arrays, Domain, Source, Struct, given
from sige_mlx.engine.gpu.ops.phases import as_phased, can_be_phased, pack_phases, zeros
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.engine.gpu.ops.total import Total
from sige_mlx.engine.gpu.ops.weights import PANEL, k_groups, pack, unpack
from sige_mlx.engine.gpu.ops.winograd import INNER, POINTS, transformed
from sige_mlx.engine.gpu.placing import Placing
from sige_mlx.engine.weights import Loader, kernels
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv


@dataclass(frozen=True)
class Conv(Convolution, Call):
    """A convolution by a kernel of `metal/conv`."""

    kernel: ClassVar[str] = "conv"

    @classmethod
    def of(cls, op: p.Conv, placing: Placing) -> "Conv":
        groups = sum(k_groups(s.kh, s.kw, s.x.c) for s in op.source)
        weight = placing.weight(op.weight, -(-op.c_out // PANEL), groups, 4, 8, 8)
        epilogue = placing.epilogue(op, op.c_out, placing.array(op.vec, -1, op.c_out))
        return cls(epilogue, weight, tuple(map(placing.source, op.source)))

    @classmethod
    def writes(cls, op: p.Conv) -> list[p.Slot]:
        return [*(output.dst for output in op.output), op.sums]

    @classmethod
    def packed(cls, op: p.Conv, written: FusedConv, load: Loader, dtype: mx.Dtype) -> mx.array:
        parts, read = [], iter(op.source)
        for source, kernel in zip(written.terms, kernels(written, load), strict=True):
            weight, first = mx.array(kernel).astype(dtype), 0
            for _ in source.reads:
                c = next(read).x.c
                parts.append(weight[..., first : first + c])
                first += c
        return pack(parts)

    @property
    def listed(self) -> mx.array | None:
        return self.epilogue.out.list

    @property
    def results(self) -> Results:
        if self.shares is not None:
            return {"shares": (self.epilogue.out.shape(self.shares * self.epilogue.c_out), mx.float32)}
        return self.epilogue.results(self.weight.dtype)

    # ---- forms

    def arrangements(self) -> list[Arrangement | None]:
        if can_be_phased(self):
            return [Arrangement.PHASES, None]
        return [Arrangement.TRANSFORMED, None] if transform_pays(self) else [None]

    def form(self, arrangement: Arrangement | None) -> Call:
        if arrangement is Arrangement.PHASES:
            groups = sum(k_groups(2, 2, s.x.c) for s in self.sources)
            shape = (4 * self.weight.shape[0], groups, *self.weight.shape[2:])
            return as_phased(self, mx.zeros(shape, self.weight.dtype))
        if arrangement is Arrangement.TRANSFORMED:
            groups = sum(k_groups(1, POINTS if s.kh == 3 else INNER, s.x.c) for s in self.sources)
            shape = (self.weight.shape[0], groups, *self.weight.shape[2:])
            return replace(self, transformed=mx.zeros(shape, self.weight.dtype))
        return self

    def in_parts(self) -> list[tuple[Call, ...]]:
        shares = shares_of(self)
        return [(self,)] if shares == 1 else [self.shared(shares), (self,)]

    def shared(self, shares: int) -> "tuple[Conv, Total]":
        """The same by so many threadgroups for each, and what adds up their shares, which are a placeholder."""
        part = replace(self, epilogue=Epilogue(self.epilogue.out, self.epilogue.c_out), shares=shares)
        ((shape, dtype),) = part.results.values()
        return part, Total(self.epilogue, mx.zeros(shape, dtype), self.weight.dtype)

    def arranged(self, how: Arrangement) -> mx.array:
        """Its weights in an arrangement, lazy."""
        if how is Arrangement.PHASES:
            return mx.contiguous(pack_phases(self.weight, self.epilogue.c_out, self.shapes, zeros(self)))
        return transformed(self.weight, self.epilogue.c_out, self.shapes)

    # ---- the kernel

    def _launch(self, blocking: AnyBlocking | None) -> Launch | None:
        b = blocking or blocking_of(self)
        if b is None:
            return None
        weight, sources = self.weight, self.sources
        pointwise: tuple[tuple[str, bool], ...] = (("PHASED", self.phase_shift is not None),)
        if isinstance(b, WinogradBlocking):
            assert self.transformed is not None
            weight, pointwise = self.transformed, (("POINTWISE", any(s.kh == 1 for s in sources)),)
        dtype, e = weight.dtype, replace(self.epilogue, out=self.epilogue.out.cut(b.tile))
        cut = replace(self, epilogue=e)
        modulated = any(s.mod is not None for s in sources)
        arrays: Arrays = {"list": given(e.out.list, mx.int32), "weight": weight}
        for i, s in enumerate(sources):
            arrays |= s.arrays(f"source{i}", modulated, dtype)
        struct: Struct = {
            "epilogue": e.struct,
            "panels": -(-e.c_out // PANEL),
            "phase_shift": self.phase_shift or 0,
            "shares": self.shares or 1,
            "k_groups": weight.shape[1],
            "source": [s.struct for s in sources],
        }
        defines = (
            ("NARROW", e.c_out if isinstance(b, NarrowBlocking) else 0),
            ("WINOGRAD", int(isinstance(b, WinogradBlocking))),
            ("SHARED", int(self.shares is not None)),
            ("SOURCES", len(sources)),
            ("SOURCES_MODULATED", int(modulated)),
            *e.defines,
        )
        template = (
            ("T", dtype),
            *b.template,
            *pointwise,
            ("VEC_IN", all(s.in_fours for s in sources)),
            ("VEC_OUT", e.in_fours),
        )
        arrays |= e.arrays(dtype)
        return cut._launched(("ConvParams", struct), arrays, defines, template, groups_of(self, b), b.threads, b)

    # ---- MLX's operations

    def by_mlx(self) -> list[mx.array]:
        e, dtype, out = self.epilogue, self.weight.dtype, reading.listed(self.epilogue.out)
        if self.shares is None:
            return e.by_mlx(self._value(out, 0, 1), dtype)
        inside = reading.coordinates(out)[3][..., None]
        shares = [mx.where(inside, self._value(out, i, self.shares), 0.0) for i in range(self.shares)]
        blocks = mx.concatenate([mx.broadcast_to(s, (*inside.shape[:3], e.c_out)) for s in shares], axis=-1)
        return [blocks if e.out.list is not None else reading.assembled(blocks, out)]

    def _value(self, out: Domain, index: int, shares: int) -> mx.array:
        """The share `index` of the sum, of every tile."""
        if self.phase_shift is not None:
            return self._phases(self.phase_shift, out, index, shares)
        value = mx.array(0.0)
        parts = unpack(self.weight, self.epilogue.c_out, self.shapes)
        for s, weight in zip(self.sources, parts, strict=True):
            own = _own(s, index, shares)
            seen = reading.windows(s, out).astype(self.weight.dtype)
            if own.start < own.stop:
                value = value + mx.conv2d(seen[..., own], weight[..., own], s.stride).astype(mx.float32)
        return value

    def _phases(self, shift: int, out: Domain, index: int, shares: int) -> mx.array:
        """That of a phased convolution: each phase is a plain one on the planes' own pixels."""
        dtype = self.weight.dtype
        small = replace(out, h=-(-out.h // 2), w=-(-out.w // 2), tile=out.tile // 2)
        packed = mx.split(self.weight, 4)
        rows = []
        for a in range(2):
            columns = []
            for b in range(2):
                value = mx.zeros((*small.shape(self.epilogue.c_out),))
                parts = unpack(packed[2 * a + b], self.epilogue.c_out, self.shapes)
                for s, weight in zip(self.sources, parts, strict=True):
                    moved = replace(s, pad_top=s.pad_top - a * shift, pad_left=s.pad_left - b * shift)
                    own = _own(s, index, shares)
                    seen = reading.windows(moved, small).astype(dtype)
                    if own.start < own.stop:
                        value = value + mx.conv2d(seen[..., own], weight[..., own]).astype(mx.float32)
                columns.append(value)
            rows.append(mx.stack(columns, axis=3))
        value = mx.stack(rows, axis=2)
        return value.reshape(out.tiles, out.tile, out.tile, -1)

    # ---- a small one like it

    def sample(self, sampling: Sampling) -> "Conv":
        e, dtype = self.epilogue, self.weight.dtype
        fours = all(s.in_fours for s in self.sources)
        narrow = isinstance(sampling.blocking, NarrowBlocking)
        c = e.c_out if narrow else sampling.channels(e.c_out, e.in_fours)
        epilogue = sampling.epilogue(e, getattr(sampling.blocking, "tile", None), c, e.in_fours, dtype)
        phased = self.phase_shift is not None
        modulated = sampling.modulated([s.mod for s in self.sources])
        sources = tuple(
            sampling.source(s, epilogue.out, sampling.channels(s.x.c, fours), fours, mod, dtype, phased)
            for s, mod in zip(self.sources, modulated, strict=True)
        )
        packed = [_random(sampling, c, sources, dtype) for _ in range(4 if phased else 1)]
        shift = self.phase_shift if sampling.options is not False or not phased else 0
        small = replace(self, epilogue=epilogue, sources=sources, weight=mx.concatenate(packed), phase_shift=shift)
        if self.transformed is None:
            return small
        return replace(small, transformed=transformed(small.weight, c, small.shapes))


def _own(s: Source, index: int, shares: int) -> slice:
    """The channels of a source that a share has, as in `metal/conv/share.h`."""
    units = -(-s.x.c // SHARED_CHANNELS)
    first, end = (min(units * i // shares * SHARED_CHANNELS, s.x.c) for i in (index, index + 1))
    return slice(first, end)


def _random(sampling: Sampling, c_out: int, sources: Sequence[Source], dtype: mx.Dtype) -> mx.array:
    """Packed weights that keep values of order one."""
    parts = [sampling.normal(c_out, s.kh, s.kw, s.x.c, dtype=dtype) for s in sources]
    return pack([w * mx.array(w[0].size ** -0.5, dtype) for w in parts])
