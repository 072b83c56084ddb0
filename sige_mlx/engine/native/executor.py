"""The native executor: programs run by the C library on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.runner import Array, Binding, BoundProgram, Runner
from sige_mlx.engine.native.weights import Floats, Loader, PackedWeights
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import Program

Inputs = Mapping[str, mx.array]


@dataclass(frozen=True)
class NativeRecord:
    """The arrays of the original that edits read, by key; the output is one of them."""

    arrays: Mapping[Any, Floats]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.arrays.values())


class NativeExecutor:
    """Runs, records and edits one network on the CPU. `load` gives its parameters by name; `threads` 0 means one per
    processor."""

    def __init__(self, plan: Plan, load: Loader, threads: int = 0):
        self.plan = plan
        self._runner = Runner(threads)
        self.threads = self._runner.threads
        self.weights = PackedWeights(plan.fused, plan.dense, load)
        self._bindings: dict[int, Binding] = {}

    def run(self, inputs: Inputs) -> mx.array:
        """The dense output."""
        return mx.array(self._run(self._dense, inputs, {}))

    def record(self, inputs: Inputs) -> tuple[mx.array, NativeRecord]:
        """The dense output, and the arrays that edits need."""
        kept = self.plan.recording.recorded
        arrays: dict[Any, Floats] = {key: np.empty(slot.shape, np.float32) for key, slot in kept.items()}
        output = self._run(self._recording, inputs, arrays)
        arrays["value", self.plan.graph.output] = output
        return mx.array(output), NativeRecord(arrays)

    def prepare(self, edit: Edit) -> BoundProgram:
        """An edit's program, bound to this executor's threads and weights."""
        return self._bound(edit.template).on(edit.tiling)

    def edit(self, bound: BoundProgram, record: NativeRecord, inputs: Inputs) -> mx.array:
        """The output for edited inputs."""
        return mx.array(self._run(bound, inputs, record.arrays))

    def profile(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """Runs the dense pass; each op's seconds."""
        seconds = np.zeros(len(self.plan.dense.ops))
        self._run(self._dense, inputs, {}, seconds)
        return seconds

    def profile_edit(self, bound: BoundProgram, record: NativeRecord, inputs: Inputs) -> npt.NDArray[np.float64]:
        """Runs an edit; each op's seconds."""
        seconds = np.zeros(len(bound.binding.program.ops))
        self._run(bound, inputs, record.arrays, seconds)
        return seconds

    @cached_property
    def _dense(self) -> BoundProgram:
        return self._bound(self.plan.dense).on()

    @cached_property
    def _recording(self) -> BoundProgram:
        return self._bound(self.plan.recording).on()

    def _bound(self, program: Program) -> Binding:
        """The binding of a program, made once; it holds the program, so that its id stays its own."""
        if id(program) not in self._bindings:
            self._bindings[id(program)] = Binding(program, self._runner, self.weights)
        return self._bindings[id(program)]

    def _run(
        self,
        bound: BoundProgram,
        inputs: Inputs,
        recorded: Mapping[Any, Array],
        seconds: npt.NDArray[np.float64] | None = None,
    ) -> Floats:
        given = {name: np.ascontiguousarray(np.asarray(x), np.float32) for name, x in inputs.items()}
        output = np.empty(self.plan.graph.nodes[self.plan.graph.output].shape, np.float32)
        bound.run(given, output, recorded, seconds)
        return output
