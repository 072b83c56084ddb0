"""Slots of a program as operands: every array is a placeholder, whose shape and type are known and which MLX never
makes. What stands for what is kept here by the numbers of values: each value is an array that a run is given or that a
step writes."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from math import prod
from typing import Any, NamedTuple

import mlx.core as mx

from sige_mlx.engine.gpu.launch import CONSTANT_SIZE
from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Output, Results
from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source, Tokens
from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, Slot
from sige_mlx.graph.tiling import Size


class Parameter(NamedTuple):
    """A value that is part of the network: by the kind and key of its slot, and how weights are arranged."""

    kind: Kind
    key: Any
    arrangement: Any = None


class Placing:
    """The operands of one program, for so many tiles of each plane. `dtype` is the storage type."""

    def __init__(self, program: Program, counts: Mapping[Size, int], dtype: mx.Dtype):
        self.program = program
        self.dtype = dtype
        self.given: dict[Slot, int] = {}
        """Values that a run is given: inputs, tiles, and what was recorded."""
        self.parameters: dict[Parameter, int] = {}
        self.written: dict[Slot, int] = {}
        self.pending: dict[Slot, Plane] = {}
        """Planes that are to be pasted into a slot, if somebody reads it other than tile by tile."""
        self._counts = counts
        self._shapes: list[tuple[tuple[int, ...], mx.Dtype]] = []
        self._views: dict[tuple[int, tuple[int, ...]], mx.array] = {}
        self._value_of: dict[int, int] = {}
        self._placeholders: list[mx.array] = []

    # ---- values

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self._shapes)

    def value_of(self, array: mx.array) -> int | None:
        """The number of the value that an array stands for; None for an array that is itself."""
        return self._value_of.get(id(array))

    def dtype_of(self, value: int) -> mx.Dtype:
        return self._shapes[value][1]

    def new(self, shape: tuple[int, ...], dtype: mx.Dtype) -> int:
        """A new value."""
        self._shapes.append((shape, dtype))
        return self.count - 1

    def arranged(self, array: mx.array, weight: mx.array, arrangement: Any) -> Parameter:
        """Makes an array the placeholder of weights in an arrangement; `weight` is that of them as they are packed."""
        packed = next(of for of, value in self.parameters.items() if value == self.value_of(weight))
        parameter = packed._replace(arrangement=arrangement)
        if parameter not in self.parameters:
            self.parameters[parameter] = self.new(array.shape, array.dtype)
        self.stands_for(array, self.parameters[parameter])
        return parameter

    def write(self, slots: list[Slot], results: Results) -> list[int]:
        """New values for the results of a step, found in slots from now on. More results than slots are not read."""
        values = [self.new(shape, dtype) for shape, dtype in results.values()]
        self.written.update((slot, value) for slot, value in zip(slots, values, strict=False) if slot != NONE)
        return values

    def _view(self, value: int, shape: tuple[int, ...]) -> mx.array:
        if -1 in shape:
            known = -prod(shape)
            shape = tuple(prod(self._shapes[value][0]) // known if n == -1 else n for n in shape)
        if (value, shape) not in self._views:
            self._views[value, shape] = mx.zeros(shape, self._shapes[value][1])
            self.stands_for(self._views[value, shape], value)
        return self._views[value, shape]

    def stands_for(self, placeholder: mx.array, value: int) -> None:
        """Makes an array the placeholder of a value."""
        self._placeholders.append(placeholder)  # as long as it lives, its identity is no other array's
        self._value_of[id(placeholder)] = value

    # ---- slots

    def owner(self, slot: Slot) -> Slot:
        """The slot whose array a slot is a part of, or the slot itself."""
        s = self.program.buffers[slot]
        return s.key[0] if s.kind is Kind.PART else slot

    def first(self, slot: Slot) -> int:
        """Where in that array it begins."""
        s = self.program.buffers[slot]
        return s.key[1] if s.kind is Kind.PART else 0

    def value(self, slot: Slot) -> int:
        """The number of the value that is in a slot."""
        assert slot not in self.pending, "a plane is read before it is pasted"
        if slot in self.written:
            return self.written[slot]
        if slot in self.given:
            return self.given[slot]
        buffer, shape = self.program.buffers[slot], self._shape(slot)
        if buffer.kind in (Kind.BIAS, Kind.PARAM, Kind.FOLDED):
            parameter = Parameter(buffer.kind, buffer.key)
            if parameter not in self.parameters:
                # A bias is made long enough to be in device memory.
                length = (max(shape[0], CONSTANT_SIZE),) if buffer.kind is Kind.BIAS else shape
                self.parameters[parameter] = self.new(length, mx.float32)
            return self.parameters[parameter]
        self.given[slot] = self.new(shape, self._dtype(buffer))
        return self.given[slot]

    def _shape(self, slot: Slot) -> tuple[int, ...]:
        """Scale and shift of a norm are one array."""
        b = self.program.buffers[slot]
        if b.kind is Kind.FOLDED:
            return (2, 1, *b.shape)
        if b.kind is Kind.RECORDED and b.key[0] == "scale":
            return (2, *b.shape)
        return b.shape if b.tiles is None else (self._counts[b.tiles], *b.shape)

    def _dtype(self, b: p.Buffer) -> mx.Dtype:
        if b.dtype == "int32":
            return mx.int32
        if b.kind is Kind.RECORDED and b.key[0] in ("scale", "moments", "moments before", "sums", "sums before"):
            return mx.float32
        return mx.float32 if b.kind is Kind.INPUT and len(b.shape) != 4 else self.dtype

    # ---- operands

    def array(self, slot: Slot, *shape: int) -> mx.array | None:
        """The array of a slot, in another shape if one is given, one number of which may be -1."""
        if slot == NONE:
            return None
        value = self.value(slot)
        return self._view(value, shape or self._shapes[value][0])

    def weight(self, slot: Slot, *shape: int) -> mx.array:
        """The packed weights of a slot, of the storage type."""
        parameter = Parameter(Kind.WEIGHT, self.program.buffers[slot].key)
        if parameter not in self.parameters:
            self.parameters[parameter] = self.new(shape, self.dtype)
        return self._view(self.parameters[parameter], shape)

    def plane(self, t: p.Tensor) -> Plane:
        base = self.array(t.base, t.n, t.h, t.w, t.c)
        blocks = self.array(t.blocks, -1, t.tile, t.tile, t.c)
        grid = None if t.blocks == NONE else self.array(t.grid)
        return Plane(t.n, t.h, t.w, t.c, t.tile, base, blocks, grid)

    def sums(self, slot: Slot, n: int, tiles: int, c: int, grid: Slot = NONE) -> Plane:
        """The per-tile sums of a value of `c` channels, as a plane of one pixel a tile; not pasted for it. With a grid
        they are of the tiles that it lists."""
        if slot in self.pending:
            return self.pending[slot]
        if (listed := self.array(grid)) is not None:
            n, h, w = listed.shape
            return Plane(n, h, w, 2 * c, 1, None, self.array(slot, -1, 1, 1, 2 * c), listed)
        return Plane(n, tiles, 1, 2 * c, 1, self.array(slot, n, tiles, 1, 2 * c))

    def affine(self, scale: Slot) -> Affine | None:
        if scale == NONE:
            return None
        array = self.array(self.owner(scale))
        assert array is not None
        return Affine(array, self.first(scale))

    def domain(self, d: p.Domain) -> Domain:
        return Domain(d.n, d.h, d.w, d.tile, self.array(d.list))

    def modulation(self, m: p.Modulation | None) -> Modulation | None:
        if m is None:
            return None
        gamma = self.plane(m.gamma)
        beta = gamma if m.beta == m.gamma else self.plane(m.beta)
        return Modulation(gamma, beta, m.gamma_first, m.beta_first)

    def source(self, s: p.Source) -> Source:
        return Source(
            self.plane(s.x),
            s.kh,
            s.kw,
            s.stride,
            s.pad_top,
            s.pad_left,
            s.resample,
            bool(s.zeros),
            bool(s.pad_mode),
            self.affine(s.scale),
            s.act,
            self.modulation(s.mod),
        )

    def epilogue(self, op: p.Convolution, c: int, vec: mx.array | None = None) -> Epilogue:
        outputs = (Output(self.affine(o.scale), self.modulation(o.mod), o.act) for o in op.output)
        return Epilogue(
            self.domain(op.out),
            c,
            tuple(outputs),
            self.array(op.bias),
            vec,
            None if op.residual is None else self.plane(op.residual),
            op.residual_resample,
            op.sums != NONE,
        )

    def tokens(self, slot: Slot, count: int, stride: int) -> Tokens:
        array = self.array(self.owner(slot), -1, count, stride)
        assert array is not None
        return Tokens(array, self.first(slot))

    def values_in(self, operand: Any) -> list[int]:
        """The values that a call, or a part of it, reads."""
        if isinstance(operand, mx.array):
            value = self.value_of(operand)
            return [] if value is None else [value]
        if isinstance(operand, tuple):
            return [value for item in operand for value in self.values_in(item)]
        if is_dataclass(operand):
            return [value for f in fields(operand) for value in self.values_in(getattr(operand, f.name))]
        return []


def substituted(operand: Any, placing: Placing, arrays: Mapping[int, mx.array]) -> Any:
    """A call, or a part of it, with values in place of their placeholders; those that are not given stay."""
    if isinstance(operand, mx.array):
        value = placing.value_of(operand)
        return operand if value is None or value not in arrays else arrays[value].reshape(operand.shape)
    if isinstance(operand, tuple):
        return tuple(substituted(item, placing, arrays) for item in operand)
    if is_dataclass(operand) and not isinstance(operand, type):
        changed = {f.name: substituted(getattr(operand, f.name), placing, arrays) for f in fields(operand)}
        return replace(operand, **changed)
    return operand
