"""From the ops of a program to calls: arrays take the place of slots while the program runs."""

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu import calls
from sige_mlx.engine.gpu.calls import Affine, Call, Domain, Epilogue, Modulation, Output, Plane, Source, Tokens
from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, slots_of

Affines = Mapping[tuple[Any, Any], mx.array]

Compute = Callable[[Call, Any], list[mx.array]]
"""Runs a call; also given is the key of the slot of its weights, None for a call without."""


class Record:
    """Arrays kept of a pass over the original, by the program's keys. Scale and shift of a norm are one array."""

    def __init__(self) -> None:
        self.arrays: dict[Any, mx.array] = {}
        self.affines: dict[tuple[Any, Any], mx.array] = {}

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for kept in (self.arrays, self.affines) for a in kept.values())

    def all(self) -> list[mx.array]:
        return [*self.arrays.values(), *self.affines.values()]


class Running:
    """One run of a program. `fixed` gives the arrays of all slots that no op writes, but for those of `record` and of
    norms that are the same every time, which `affines` has by the keys of scale and shift; `compute` runs calls;
    activations are of the type `dtype`."""

    def __init__(
        self,
        program: Program,
        fixed: Mapping[int, mx.array],
        affines: Affines,
        record: Record,
        compute: Compute,
        dtype: mx.Dtype,
    ):
        self.program = program
        self.record = record
        self.compute = compute
        self.dtype = dtype
        self.constant = affines
        self.layer = ""
        """The layer of the op that runs."""
        self._values: dict[int, mx.array] = dict(fixed)
        self._affines: dict[tuple[int, int], mx.array] = {}
        self._unpasted: dict[int, Plane] = {}
        self._last_use = {self._owner(i): at for at, op in enumerate(program.ops) for i in slots_of(op)}

    def run(self) -> mx.array:
        """The output; what the program records is in `record` afterwards."""
        ended: dict[int, list[int]] = {}
        for slot, at in self._last_use.items():
            if self.program.buffers[slot].kind is Kind.SCRATCH:
                ended.setdefault(at, []).append(slot)
        for at, op in enumerate(self.program.ops):
            self.layer = self.program.names[at]
            self._run(op)
            for slot in ended.get(at, ()):  # so that MLX can use its memory again
                self._values.pop(slot, None)
                self._unpasted.pop(slot, None)
        output = next(i for i, s in enumerate(self.program.buffers) if s.kind is Kind.OUTPUT)
        return self._value(output)

    def _run(self, op: p.ProgramOp) -> None:
        if isinstance(op, p.Conv):
            self._conv(op)
        elif isinstance(op, p.Depthwise):
            self._depthwise(op)
        elif isinstance(op, p.Norm):
            self._norm(op)
        elif isinstance(op, p.Paste):
            self._unpasted[op.dst] = self._plane(op.x)
        else:
            self._attention(op)

    # ---- slots

    def _owner(self, slot: int) -> int:
        s = self.program.buffers[slot]
        return s.key[0] if s.kind is Kind.PART else slot

    def _first(self, slot: int) -> int:
        s = self.program.buffers[slot]
        return s.key[1] if s.kind is Kind.PART else 0

    def _value(self, slot: int) -> mx.array:
        if slot in self._unpasted:
            (self._values[slot],) = self.compute(calls.Paste(self._unpasted.pop(slot)), None)
        if slot not in self._values:
            return self.record.arrays[self.program.buffers[slot].key]
        return self._values[slot]

    def _given(self, slot: int) -> mx.array | None:
        return None if slot == NONE else self._value(slot)

    def _set(self, slot: int, value: mx.array) -> None:
        s = self.program.buffers[slot]
        if s.kind is Kind.RECORDED:
            self.record.arrays[s.key] = value
        else:
            self._values[slot] = value

    # ---- operands

    def _plane(self, t: p.Tensor) -> Plane:
        base = blocks = grid = None
        if t.base != NONE:
            base = self._value(t.base).reshape(t.n, t.h, t.w, t.c)
        if t.blocks != NONE:
            blocks, grid = self._value(t.blocks).reshape(-1, t.tile, t.tile, t.c), self._value(t.grid)
        return Plane(t.n, t.h, t.w, t.c, t.tile, base, blocks, grid)

    def _affine(self, scale: int, shift: int) -> Affine | None:
        if scale == NONE:
            return None
        first, pair = self._first(scale), (self._owner(scale), self._owner(shift))
        if pair in self._affines:
            return Affine(self._affines[pair], first)
        constant = self.program.buffers[pair[0]].kind is Kind.FOLDED
        keys = (self.program.buffers[pair[0]].key, self.program.buffers[pair[1]].key)
        return Affine((self.constant if constant else self.record.affines)[keys], first)

    def _domain(self, d: p.Domain) -> Domain:
        return Domain(d.n, d.h, d.w, d.tile, self._given(d.list))

    def _modulation(self, m: p.Modulation | None) -> Modulation | None:
        if m is None:
            return None
        gamma = self._plane(m.gamma)
        beta = gamma if m.beta == m.gamma else self._plane(m.beta)
        return Modulation(gamma, beta, m.gamma_first, m.beta_first)

    def _source(self, s: p.Source) -> Source:
        return Source(
            self._plane(s.x),
            s.kh,
            s.kw,
            s.stride,
            s.pad_top,
            s.pad_left,
            s.resample,
            bool(s.zeros),
            bool(s.pad_mode),
            self._affine(s.scale, s.shift),
            s.act,
            self._modulation(s.mod),
        )

    def _epilogue(self, op: p.Conv | p.Depthwise, c: int, vec: mx.array | None = None) -> Epilogue:
        outputs = (Output(self._affine(o.scale, o.shift), self._modulation(o.mod), o.act) for o in op.output)
        return Epilogue(
            self._domain(op.out),
            c,
            tuple(outputs),
            self._given(op.bias),
            vec,
            None if op.residual is None else self._plane(op.residual),
            op.residual_resample,
            op.sums != NONE,
        )

    def _tokens(self, slot: int, count: int, stride: int) -> Tokens:
        return Tokens(self._value(self._owner(slot)).reshape(-1, count, stride), self._first(slot))

    # ---- ops

    def _conv(self, op: p.Conv) -> None:
        vec = self._given(op.vec)
        epilogue = self._epilogue(op, op.c_out, None if vec is None else vec.reshape(-1, op.c_out))
        call = calls.Conv(epilogue, self._value(op.weight), tuple(map(self._source, op.source)))
        self._keep_outputs(op, self.compute(call, self.program.buffers[op.weight].key))

    def _depthwise(self, op: p.Depthwise) -> None:
        call = calls.Depthwise(self._epilogue(op, op.c), self._given(op.weight), self._source(op.source), self.dtype)
        self._keep_outputs(op, self.compute(call, None))

    def _keep_outputs(self, op: p.Conv | p.Depthwise, results: list[mx.array]) -> None:
        for output, value in zip(op.output, results, strict=False):
            self._set(output.dst, value)
        if op.sums != NONE:
            self._set(op.sums, results[-1])

    def _norm(self, op: p.Norm) -> None:
        planes = []
        for slot, tiles, c in zip(op.sums, op.tiles, op.c, strict=True):
            if slot in self._unpasted:
                planes.append(self._unpasted[slot])
            else:
                sums = self._value(slot).reshape(op.n, tiles, 1, 2 * c)
                planes.append(Plane(op.n, tiles, 1, 2 * c, 1, sums))
        mod = self._given(op.mod)
        call = calls.Norm(
            op.n,
            op.pixels,
            op.groups,
            tuple(planes),
            self._given(op.weight),
            self._given(op.bias),
            None if mod is None else mod.reshape(-1, 2 * sum(op.c)),
            op.eps,
            self.dtype,
        )
        (affine,) = self.compute(call, None)
        scale, shift = self.program.buffers[op.scale], self.program.buffers[op.shift]
        if scale.kind is Kind.RECORDED:
            self.record.affines[scale.key, shift.key] = affine
        self._affines[op.scale, op.shift] = affine

    def _attention(self, op: p.Attention) -> None:
        out = self._domain(op.out)
        q = self._tokens(op.q, out.h * out.w if out.list is None else out.tile**2, op.q_stride)
        k, v = (self._tokens(slot, op.keys, stride) for slot, stride in ((op.k, op.k_stride), (op.v, op.v_stride)))
        (result,) = self.compute(calls.Attention(out, q, k, v, op.heads, op.head_dim, op.scale), None)
        self._set(op.dst, result)
