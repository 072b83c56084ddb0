"""The native executor: programs run by the C library on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.runner import Array, BoundProgram, Runner
from sige_mlx.engine.native.weights import Floats, Loader, PackedWeights
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.tiling import Tiling

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

    def run(self, inputs: Inputs) -> mx.array:
        """The dense output."""
        return mx.array(self._run(self._dense, inputs, {}))

    def record(self, inputs: Inputs) -> tuple[mx.array, NativeRecord]:
        """The dense output, and the arrays that edits need."""
        kept = self._recording.program.recorded
        arrays: dict[Any, Floats] = {key: np.empty(slot.shape, np.float32) for key, slot in kept.items()}
        output = self._run(self._recording, inputs, arrays)
        arrays["value", self.plan.graph.output] = output
        return mx.array(output), NativeRecord(arrays)

    def prepare(self, edit: Edit) -> BoundProgram:
        """An edit's program, bound to this executor's threads and weights."""
        return self._bind(edit.program, edit.tiling)

    def edit(self, bound: BoundProgram, record: NativeRecord, inputs: Inputs) -> mx.array:
        """The output for edited inputs."""
        return mx.array(self._run(bound, inputs, record.arrays))

    def profile(
        self, inputs: Inputs, bound: BoundProgram | None = None, record: NativeRecord | None = None
    ) -> tuple[Program, npt.NDArray[np.float64]]:
        """Runs an edit, or the dense pass without one; the program that ran and each op's seconds."""
        bound = bound or self._dense
        seconds = np.zeros(len(bound.program.ops))
        self._run(bound, inputs, record.arrays if record else {}, seconds)
        return bound.program, seconds

    @cached_property
    def _dense(self) -> BoundProgram:
        return self._bind(self.plan.dense)

    @cached_property
    def _recording(self) -> BoundProgram:
        return self._bind(self.plan.recording)

    def _bind(self, program: Program, tiling: Tiling | None = None) -> BoundProgram:
        tiles: dict[tuple[Kind, Any], Array] = {}
        for size, level in tiling.levels.items() if tiling else ():
            tiles[Kind.ROWS, size] = level.rows
            tiles[Kind.GRID, size] = level.grid
        return BoundProgram(program, self._runner, self.weights, tiles)

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
