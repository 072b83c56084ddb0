"""The native executor lets the C library run programs on the CPU."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced, commit, swap
from sige_mlx.engine.native.compiled import NOTHING, Bound, Compiled, NativeRecord
from sige_mlx.engine.native.pool import Pool
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.engine.weights import Floats, Loader
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Program
from sige_mlx.graph.tiling import Tiling

Inputs = Mapping[Any, mx.array]
"""Inputs go by the graph's names for them, embeddings by themselves."""


class NativeExecutor:
    """It runs, records and edits one network on the CPU. `load` gives its parameters by name; 0 `threads` are one per
    processor."""

    def __init__(self, lowered: Lowered, load: Loader, threads: int = 0):
        self.lowered = lowered
        self.pool = Pool(threads)
        self.weights = PackedWeights(lowered.groups, lowered.dense, load)

    @property
    def threads(self) -> int:
        """So many threads run ops."""
        return self.pool.threads

    @property
    def weights_nbytes(self) -> int:
        """The weights take so many bytes."""
        return self.weights.nbytes

    @property
    def record_nbytes(self) -> int:
        """Recording one step keeps so many bytes, those of the output among them."""
        return sum(b.nbytes for b in self.lowered.recorded.values()) + self._empty_output().nbytes

    def run(self, inputs: Inputs) -> mx.array:
        """Returns the dense output."""
        return mx.array(self._run(self._dense, inputs))

    def record(self, inputs: Inputs) -> tuple[mx.array, NativeRecord]:
        """Returns the dense output, and the arrays that edits need."""
        arrays: dict[Any, Floats] = {k: np.empty(b.shape, b.dtype) for k, b in self.lowered.recorded.items()}
        output = self._run(self._recording, inputs, NativeRecord(arrays))
        arrays["value", self.lowered.graph.output] = output
        return mx.array(output), NativeRecord(arrays)

    def output(self, record: NativeRecord) -> mx.array:
        """Returns the recorded output."""
        return mx.array(record.arrays["value", self.lowered.graph.output])

    def give_output(self, record: NativeRecord, output: mx.array) -> None:
        """Gives a record another output."""
        record.arrays["value", self.lowered.graph.output][...] = np.asarray(output)

    def holds(self, nbytes: int) -> None:
        """Recordings are the process's own memory."""

    @cached_property
    def layout(self) -> Mapping[Any, tuple[tuple[int, ...], str]]:
        """Shape and type of the arrays that are kept of a step, by key."""
        kept = {key: (tuple(b.shape), str(np.dtype(b.dtype))) for key, b in self.lowered.recorded.items()}
        output = self.lowered.graph.nodes[self.lowered.graph.output].shape
        return {**kept, ("value", self.lowered.graph.output): (tuple(output), "float32")}

    def restored(self, arrays: Mapping[Any, npt.NDArray[Any]]) -> NativeRecord:
        """Returns a record of arrays that were stored."""
        return NativeRecord(dict(arrays))

    def bind(self, tiling: Tiling) -> Bound:
        """Binds the program of edits to the tiles of one."""
        return self._edit.bind(tiling)

    def edit(self, bound: Bound, record: NativeRecord, inputs: Inputs) -> mx.array:
        """Returns the output for edited inputs."""
        return mx.array(self._run(bound, inputs, record))

    def bind_commit(self, tiling: Tiling) -> Bound:
        """Binds the program of commits to the tiles of an edit."""
        return self._commit.bind(tiling)

    def commit(self, bound: Bound, record: NativeRecord, inputs: Inputs) -> tuple[mx.array, Replaced]:
        """Returns the output for edited inputs, and what it has replaced in the record, which is theirs now."""
        committed: dict[Any, Floats] = {}
        assert bound.tiling is not None
        for key, buffer in bound.compiled.committed.items():
            tiles = () if buffer.tiles is None else (len(bound.tiling.at(buffer.tiles)),)
            committed[key] = np.empty((*tiles, *buffer.shape), np.float32)
        output = self._run(bound, inputs, record, committed=committed)
        return mx.array(output), commit(self.lowered, bound.tiling, record.arrays, committed, output)

    def swap(self, record: NativeRecord, replaced: Replaced) -> Replaced:
        """Puts back what a commit replaced, and returns what that replaces."""
        return swap(self.lowered, record.arrays, replaced)

    def profile(
        self, inputs: Inputs, bound: Bound | None = None, record: NativeRecord | None = None
    ) -> tuple[Program, npt.NDArray[np.float64]]:
        """Runs an edit, or the dense pass without one; returns the program, and each op's seconds."""
        bound = bound or self._dense
        seconds = np.zeros(len(bound.compiled.program.ops))
        self._run(bound, inputs, record, seconds)
        return bound.compiled.program, seconds

    @cached_property
    def _dense(self) -> Bound:
        return Compiled(self.lowered.dense, self.pool, self.weights).bind()

    @cached_property
    def _recording(self) -> Bound:
        return Compiled(self.lowered.recording, self.pool, self.weights).bind()

    @cached_property
    def _edit(self) -> Compiled:
        return Compiled(self.lowered.edit, self.pool, self.weights)

    @cached_property
    def _commit(self) -> Compiled:
        return Compiled(self.lowered.commit, self.pool, self.weights)

    def _empty_output(self) -> Floats:
        return np.empty(self.lowered.graph.nodes[self.lowered.graph.output].shape, np.float32)

    def _run(
        self,
        bound: Bound,
        inputs: Inputs,
        record: NativeRecord | None = None,
        seconds: npt.NDArray[np.float64] | None = None,
        committed: Mapping[Any, Floats] = NOTHING,
    ) -> Floats:
        given = {name: np.ascontiguousarray(np.asarray(x), np.float32) for name, x in inputs.items()}
        output = self._empty_output()
        bound.run(given, output, record or NativeRecord({}), seconds, committed)
        return output
