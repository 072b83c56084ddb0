"""The GPU executor: dense passes by MLX's own operations, edits by the kernels of `metal/`."""

import math
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.cache import cache_folder
from sige_mlx.engine.gpu import kernels, twins
from sige_mlx.engine.gpu.binding import Compute, Record, Running
from sige_mlx.engine.gpu.calls import Call, Conv
from sige_mlx.engine.gpu.forms import forms
from sige_mlx.engine.gpu.launch import Device, Metal, device
from sige_mlx.engine.gpu.parameters import Parameters
from sige_mlx.engine.gpu.trust import Trust
from sige_mlx.engine.gpu.wired import wired
from sige_mlx.engine.weights import Loader
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.tiling import Tiling

Inputs = Mapping[Any, mx.array]


class GpuExecutor:
    """Runs, records and edits one network on the GPU. `load` gives its parameters by name; activations and weights are
    stored as `dtype`, float16 or float32. Kernels run on this machine's GPU, or `where` one asks for."""

    def __init__(self, lowered: Lowered, load: Loader, dtype: mx.Dtype, where: Device | None = None):
        self.lowered = lowered
        self.dtype = dtype
        self.device: Device = where or device()
        self.trust = Trust(self.device, cache_folder())
        self.parameters = Parameters(lowered.groups, lowered.dense, load, dtype)
        self._records: weakref.WeakSet[Record] = weakref.WeakSet()
        self._keep_wired()

    def _keep_wired(self) -> None:
        """Weights and recordings, which every edit reads."""
        if isinstance(self.device, Metal) and not self.device.unfit:
            wired.keep(self, self.parameters.nbytes + sum(record.nbytes for record in self._records))

    def run(self, inputs: Inputs) -> mx.array:
        """The dense output, lazy."""
        return self._run(self.lowered.dense, inputs, {}, Record(), _by_mlx)

    def record(self, inputs: Inputs) -> tuple[mx.array, Record]:
        """The dense output, and the arrays that edits need."""
        record = Record()
        output = self._run(self.lowered.recording, inputs, {}, record, _by_mlx)
        record.arrays["value", self.lowered.graph.output] = output.astype(self.dtype)
        mx.eval(output, record.all())
        self._records.add(record)
        self._keep_wired()
        return output, record

    def bind(self, tiling: Tiling) -> list[mx.array]:
        """An edit's tiles. Lists are as long as their bucket, so nothing is made anew for an edit of about the size of
        one before."""
        return [*tile_arrays(self.lowered.edit, tiling).values()]

    def edit(self, tiles: list[mx.array], record: Record, inputs: Inputs) -> mx.array:
        """The output for edited inputs, as lazy as the device is."""
        before = self.parameters.arrangements
        output = self._step(inputs, tiles, record)
        if self.parameters.arrangements > before:
            self._keep_wired()
        return output

    @cached_property
    def _step(self) -> "_Step":
        return _Step(self, self.lowered.edit)

    @property
    def record_nbytes(self) -> int:
        """Bytes that recording one step keeps: planes in the storage type, statistics in float32."""
        graph, kept = self.lowered.graph, 0
        for (what, _), buffer in self.lowered.recorded.items():
            kept += buffer.nbytes if what in ("scale", "shift", "sums") else buffer.nbytes * self.dtype.size // 4
        return kept + math.prod(graph.nodes[graph.output].shape) * self.dtype.size

    def _run(
        self, program: Program, inputs: Inputs, tiles: Mapping[int, mx.array], record: Record, compute: Compute
    ) -> mx.array:
        given = {}
        for i, slot in enumerate(program.buffers):
            if slot.kind is Kind.INPUT:
                x = inputs[slot.key]
                given[i] = x.astype(self.dtype) if x.ndim == 4 else x
        fixed = self.parameters.of(program) | given | dict(tiles)
        running = Running(program, fixed, self.parameters.affines, record, compute, self.dtype)
        return running.run().astype(mx.float32)

    def _by_kernels(self, call: Call, key: Any) -> list[mx.array]:
        for arrangement, form in forms(call):
            launch = kernels.launch(form)
            if launch is None or not self.trust.allows(launch, form):
                continue
            if arrangement is not None:
                assert isinstance(call, Conv)
                launch = launch.with_weight(self.parameters.arranged(key, call, arrangement))
            return self.device.run(launch)
        return twins.run(call)


class _Step:
    """One edit's program as a function of arrays. Making its calls takes longer than running them, so where arrays are
    lazy MLX keeps what the function does, for every set of shapes; the first time it runs as it is, and tries kernels.
    """

    def __init__(self, executor: GpuExecutor, program: Program):
        self._executor_of = weakref.ref(executor)  # which holds this: it should go with the last that uses it
        self._program = program
        self._tile_slots = tile_slots(program)
        self._inputs = [b.key for b in program.buffers if b.kind is Kind.INPUT]
        self._keys: tuple[list[Any], list[tuple[Any, Any]]] | None = None
        self._kept = mx.compile(self._run)

    @property
    def _executor(self) -> GpuExecutor:
        executor = self._executor_of()
        assert executor is not None, "an edit outlives its executor"
        return executor

    def __call__(self, inputs: Inputs, tiles: list[mx.array], record: Record) -> mx.array:
        first = self._keys is None
        if self._keys is None:
            needed = self._program.recorded
            affines = [pair for pair in record.affines if pair[0] in needed]
            self._keys = ([key for key in record.arrays if key in needed], affines)
        of_record = [record.arrays[key] for key in self._keys[0]], [record.affines[key] for key in self._keys[1]]
        arguments = [inputs[name] for name in self._inputs], tiles, *of_record
        if first or not self._executor.device.lazy:
            return self._run(*arguments)
        try:
            return self._kept(*arguments)
        except IndexError:
            # MLX fails to fuse some graphs of very many small operations (ml-explore/mlx#3165), as an edit is where its
            # operations replace kernels.
            self._kept = self._run
            return self._run(*arguments)

    def _run(
        self,
        inputs: Sequence[mx.array],
        tiles: Sequence[mx.array],
        arrays: Sequence[mx.array],
        affines: Sequence[mx.array],
    ) -> mx.array:
        assert self._keys is not None
        record = Record()
        record.arrays = dict(zip(self._keys[0], arrays, strict=True))
        record.affines = dict(zip(self._keys[1], affines, strict=True))
        given = dict(zip(self._inputs, inputs, strict=True))
        placed = dict(zip(self._tile_slots, tiles, strict=True))
        return self._executor._run(self._program, given, placed, record, self._executor._by_kernels)


def _by_mlx(call: Call, key: Any) -> list[mx.array]:
    return twins.run(call)


def tile_slots(program: Program) -> list[int]:
    """The slots of a program that hold an edit's tiles."""
    return [i for i, slot in enumerate(program.buffers) if slot.kind in (Kind.ROWS, Kind.GRID)]


def tile_arrays(program: Program, tiling: Tiling) -> dict[int, mx.array]:
    """An edit's tiles by their slots: lists, filled up to their buckets, and grids."""
    found = {}
    for i in tile_slots(program):
        buffer = program.buffers[i]
        level = tiling.at(buffer.key)
        found[i] = mx.array(filled(level.rows) if buffer.kind is Kind.ROWS else level.grid)
    return found


def filled(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """A list of tiles [N, 3] filled up to its bucket."""
    return np.concatenate([rows, np.full((bucket(len(rows)) - len(rows), 3), -1, np.int32)])


def bucket(tiles: int) -> int:
    """The least 2^k or 3 * 2^k that is no less, from 4 on."""
    size = 4
    while size < tiles:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
