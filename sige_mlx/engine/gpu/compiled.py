"""Programs ready for the GPU: every kernel is chosen, every argument struct is packed, every launch stands in a list.

A program in tiles is compiled for so many tiles of each plane; edits of fewer fill their lists up (`sizes.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import CALLS, Arrangement, Call, Conv, Paste, Total
from sige_mlx.engine.gpu.placing import Parameter, Placing, substituted
from sige_mlx.graph import program as p
from sige_mlx.graph.program import Kind, Program, Slot, slots_of
from sige_mlx.graph.tiling import Size, Tiling

Allows = Callable[[Launch, Call], bool]
"""Whether the kernel of a launch, that of a call, may be used."""


def allows_all(launch: Launch, call: Call) -> bool:
    """Takes every kernel for right."""
    return True


@dataclass(frozen=True)
class Step:
    """One launch, or a call that MLX's operations run because it has none. `reads` are the values that a launch is
    given, None for an array that is always the same; `last` those that nobody reads afterwards."""

    layer: str
    op: p.ProgramOp
    call: Call
    launch: Launch | None
    arrangement: Arrangement | None
    reads: tuple[int | None, ...]
    writes: list[int]
    last: tuple[int, ...] = ()


class Compiled:
    """A program as steps over values of the storage type `dtype`, for `counts` tiles of each plane. Kernels are those
    that `allows` lets run, in the blockings that should be fastest, or in those of `like`: the same program, compiled
    for other tiles."""

    def __init__(
        self,
        program: Program,
        counts: Mapping[Size, int],
        dtype: mx.Dtype,
        allows: Allows = allows_all,
        like: "Compiled | None" = None,
    ):
        self.program = program
        self.counts = counts
        self.placing = Placing(program, counts, dtype)
        self.steps: list[Step] = []
        self.arranged: dict[Parameter, Conv] = {}
        """For weights in an arrangement, the convolution whose weights they are."""
        self._pending: dict[Slot, tuple[str, p.Paste]] = {}
        self._stored: dict[Any, int] = {}
        self._allows = allows
        self._like = like
        for layer, op in zip(program.names, program.ops, strict=True):
            self._compile(layer, op)
        written = {program.buffers[slot]: value for slot, value in self.placing.written.items()}
        self.output = next(value for buffer, value in written.items() if buffer.kind is Kind.OUTPUT)
        self.kept = {buffer.key: value for buffer, value in written.items() if buffer.kind is Kind.RECORDED}
        self.kept |= self._stored
        """What the program records: values by their keys, of a commit the tiles that belong into the record. Scale and
        shift of a norm are one array, the scale's."""
        self._find_last_reads()

    @property
    def by_kernels(self) -> bool:
        """Whether every step is a launch."""
        return all(step.launch is not None for step in self.steps)

    def on(self, tiling: Tiling) -> list[Step]:
        """The steps with an edit's tiles, of which there are as many as this was compiled for, in their calls and
        launches; every other array is zeros that were not made."""
        tiles = {self.placing.given[slot]: array for slot, array in tile_arrays(self, tiling).items()}
        found = []
        for step in self.steps:
            launch = step.launch
            if launch is not None:
                read = zip(step.reads, launch.inputs, strict=True)
                launch = launch.on([array if i is None else tiles.get(i, array) for i, array in read])
            found.append(replace(step, call=substituted(step.call, self.placing, tiles), launch=launch))
        return found

    def _compile(self, layer: str, op: p.ProgramOp) -> None:
        if isinstance(op, p.Store):  # what it stores is there: whoever runs the program takes it
            self._stored[self.program.buffers[op.dst].key] = self.placing.value(op.src)
            return
        if isinstance(op, p.Paste):
            self._pending[op.dst] = layer, op
            self.placing.pending[op.dst] = self.placing.plane(op.x)
            if self.program.buffers[op.dst].kind is Kind.OUTPUT:
                self._paste(op.dst)
            return
        for slot in self._whole_slots(op):
            if slot in self.placing.pending:
                self._paste(slot)
        kind = CALLS[type(op)]
        self._add(layer, op, kind.of(op, self.placing), kind.writes(op))

    def _whole_slots(self, op: p.ProgramOp) -> list[Slot]:
        """The slots that an op reads as arrays: norms read sums tile by tile, so these need not be pasted for them."""
        tile_by_tile = op.sums if isinstance(op, p.Norm) else ()
        return [owner for slot in slots_of(op) if (owner := self.placing.owner(slot)) not in tile_by_tile]

    def _paste(self, slot: Slot) -> None:
        self._add(*self._pending[slot], Paste(self.placing.pending.pop(slot)), [slot])

    def _add(self, layer: str, op: p.ProgramOp, call: Call, slots: list[Slot]) -> None:
        arrangement, parts = self._chosen(call)
        for i, (part, launch) in enumerate(parts):
            reads: tuple[int | None, ...] = ()
            if launch is not None:
                if arrangement is not None and isinstance(part, Conv):
                    weight = launch.inputs[launch.kernel.inputs.index("weight")]
                    assert isinstance(call, Conv)
                    self.arranged[self.placing.arranged(weight, call.weight, arrangement)] = call
                reads = tuple(map(self.placing.value_of, launch.inputs))
            last = i == len(parts) - 1
            writes = self.placing.write(slots if last else [], part.results)
            if not last:
                following = parts[i + 1][0]
                assert isinstance(following, Total)
                self.placing.stands_for(following.shares, writes[0])
            self.steps.append(Step(layer, op, part, launch, arrangement, reads, writes))

    def _chosen(self, call: Call) -> tuple[Arrangement | None, list[tuple[Call, Launch | None]]]:
        """The form that a call is to be computed in, its parts, one after the other, and their launches."""
        if self._like is not None:
            return self._chosen_like(self._like.steps[len(self.steps) :], call)
        for arrangement in call.arrangements():
            for parts in call.form(arrangement).in_parts():
                found = [(part, part.launch()) for part in parts]
                if all(launch is not None and self._allows(launch, part) for part, launch in found):
                    return arrangement, [*found]
        return None, [(call, None)]

    def _chosen_like(
        self, like: Sequence[Step], call: Call
    ) -> tuple[Arrangement | None, list[tuple[Call, Launch | None]]]:
        """Likewise, as the steps from the first of `like` on are."""
        first, form = like[0], call.form(like[0].arrangement)
        parts: tuple[Call, ...] = (form,)
        if isinstance(form, Conv) and isinstance(first.call, Conv) and first.call.shares is not None:
            parts = form.shared(first.call.shares)
        launches = (None if one.launch is None else one.launch.blocking for one in like)
        found = [(part, part.launch(blocking)) for part, blocking in zip(parts, launches, strict=False)]
        return first.arrangement, [(form, None)] if first.launch is None else [*found]

    def _find_last_reads(self) -> None:
        """Lets every value go after the last step that reads it, so that MLX can use its memory again."""
        wanted, last = {self.output, *self.kept.values()}, {}
        for at, step in enumerate(self.steps):
            last.update(dict.fromkeys(step.writes, at))
            last.update(dict.fromkeys(self._values_of(step), at))
        ended: dict[int, list[int]] = {}
        constant = set(self.placing.parameters.values())
        for value, at in last.items():
            if value not in wanted and value not in constant:
                ended.setdefault(at, []).append(value)
        self.steps = [replace(step, last=tuple(ended.get(at, ()))) for at, step in enumerate(self.steps)]

    def _values_of(self, step: Step) -> list[int]:
        if step.launch is not None:
            return [value for value in step.reads if value is not None]
        return self.placing.values_in(step.call)


def tile_arrays(compiled: Compiled, tiling: Tiling) -> dict[Slot, mx.array]:
    """An edit's tiles by their slots: lists, filled up to the length that a program was compiled for, and grids."""
    found = {}
    for slot in compiled.placing.given:
        buffer = compiled.program.buffers[slot]
        if buffer.kind is Kind.ROWS:
            rows = tiling.at(buffer.key).rows
            filled = np.full((compiled.counts[buffer.key], 3), -1, np.int32)
            filled[: len(rows)] = rows
            found[slot] = mx.array(filled)
        elif buffer.kind is Kind.GRID:
            found[slot] = mx.array(tiling.at(buffer.key).grid)
    return found
