"""The GPU executor: programs run by the kernels of `metal/`, from lists of launches that were compiled before."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.cache import cache_folder
from sige_mlx.engine.changes import Replaced
from sige_mlx.engine.estimates import given
from sige_mlx.engine.gpu.commits import STATISTICS, Commits, exchange, statistics_on_gpu
from sige_mlx.engine.gpu.compiled import Compiled, tile_arrays
from sige_mlx.engine.gpu.launch import Device, Metal, device
from sige_mlx.engine.gpu.parameters import Parameters
from sige_mlx.engine.gpu.placing import substituted
from sige_mlx.engine.gpu.sizes import Sizes
from sige_mlx.engine.gpu.trust import Trust
from sige_mlx.engine.gpu.wired import wired
from sige_mlx.engine.recordings import Codec, Record
from sige_mlx.engine.statistics import Doubles
from sige_mlx.engine.weights import Loader
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.tiling import Tiling

Inputs = Mapping[Any, mx.array]

NOTHING: Mapping[Any, mx.array] = {}


class GpuExecutor:
    """Runs, records and edits one network on the GPU. `load` gives its parameters by name; activations and weights are
    stored as `dtype`, float16 or float32. Kernels run on this machine's GPU, or `where` one asks for."""

    def __init__(self, lowered: Lowered, load: Loader, dtype: mx.Dtype, where: Device | None = None):
        self.lowered = lowered
        self.dtype = dtype
        self.device: Device = where or device()
        self.trust = Trust(self.device, cache_folder())
        self.parameters = Parameters(lowered.groups, lowered.dense, load, dtype)
        self._sizes: dict[int, Sizes] = {}
        self._in_tiles: dict[tuple[int, int], Ready] = {}
        self._dense_programs: dict[int, tuple[Program, Ready]] = {}  # by `id`, which stays a program's while it is kept
        self._warm: set[int] = set()
        self._recorded = 0
        self.holds(0)

    def holds(self, nbytes: int) -> None:
        """Keeps weights and recordings, of so many bytes, wired: every edit reads them."""
        self._recorded = nbytes
        if isinstance(self.device, Metal) and not self.device.unfit:
            wired.keep(self, self.parameters.nbytes + nbytes)

    def run(self, inputs: Inputs) -> mx.array:
        """The dense output, lazy."""
        return self._dense(inputs)[0]

    def record(self, inputs: Inputs, codec: Codec | None = None, only: Tiling | None = None) -> tuple[mx.array, Record]:
        """The dense output, and the arrays that edits need: no less for the tiles of one."""
        output, *arrays = self._recording(inputs)
        kept = dict(zip(self._recording.compiled.kept, arrays, strict=True))
        kept["value", self.lowered.graph.output] = output.astype(self.dtype)
        kept.update({key: mx.zeros(buffer.shape) for key, buffer in self.lowered.measured.items()})
        mx.eval(output, *kept.values())
        return output, Record(kept)

    def output(self, record: Record) -> mx.array:
        """The recorded output."""
        return mx.array(record.arrays["value", self.lowered.graph.output].astype(mx.float32))

    keeps = ""  # files hold no recordings of this device, which records anew

    def store(self, record: Record) -> tuple[Codec, list[Any]]:
        """How planes of a record are kept, and its arrays, for a file: there are none."""
        raise NotImplementedError

    def restored(self, codec: Codec, arrays: Sequence[Any]) -> Record:
        """A record of what `store` gave."""
        raise NotImplementedError

    def measure(self, inputs: Inputs) -> Mapping[Any, Doubles]:
        """The moments of all norms."""
        _, *arrays = self._measuring(inputs)
        keys = self._measuring.compiled.kept
        return {norm: np.asarray(of, np.float64) for (_, norm), of in zip(keys, arrays, strict=True)}

    def keep(
        self, program: Program, inputs: Inputs, recorded: Mapping[Any, Any] = NOTHING
    ) -> tuple[mx.array, Mapping[Any, mx.array]]:
        """The output of a dense program with this network's weights, whatever its planes, and what it records, lazy;
        arrays that it reads of a record are given."""
        if id(program) not in self._dense_programs:
            ready = self._ready(Compiled(program, {}, self.dtype, self.trust.allows))
            self._dense_programs[id(program)] = program, ready
        _, ready = self._dense_programs[id(program)]
        output, *arrays = ready(inputs, recorded={key: mx.array(array) for key, array in recorded.items()})
        return output, dict(zip(ready.compiled.kept, arrays, strict=True))

    def given(self, record: Record, measured: Mapping[Any, Doubles], estimated: bool) -> Mapping[Any, mx.array]:
        """What takes the place of recorded arrays once this was measured: that, and the statistics that it gives an
        edit if they are estimated."""
        recorded = {key: np.asarray(of, np.float64) for key, of in record.arrays.items() if key[0] in STATISTICS}
        return statistics_on_gpu(given(self.lowered, recorded, measured, estimated))

    def bind(self, tiling: Tiling, statistics: Statistics) -> "Bound":
        """An edit's tiles, for its program in the smallest size that they fit into."""
        program = self.lowered.edits[statistics]
        ready = self._ready_for(program, self.sizes_of(program).of(tiling))
        return Bound(ready, tile_arrays(ready.compiled, tiling), program)

    def edit(self, bound: "Bound", record: Record, inputs: Inputs, given: Mapping[Any, Any] = NOTHING) -> mx.array:
        """The output for edited inputs, as lazy as the device is."""
        self._warm_up(bound.program, record, inputs)
        return bound.ready(inputs, bound.tiles, {**record.arrays, **given})[0]

    def give_output(self, record: Record, output: mx.array) -> None:
        """Gives a record another output."""
        record.arrays["value", self.lowered.graph.output] = output.astype(self.dtype)

    def bind_commit(self, tiling: Tiling, statistics: Statistics) -> "BoundCommit":
        """The tiles of an edit that is to be committed, likewise."""
        program = self.lowered.commits[statistics]
        ready = self._ready_for(program, self.sizes_of(program).of(tiling))
        return BoundCommit(ready, tile_arrays(ready.compiled, tiling), Commits(self.lowered, tiling))

    def commit(
        self, bound: "BoundCommit", record: Record, inputs: Inputs, given: Mapping[Any, Any] = NOTHING
    ) -> tuple[mx.array, Replaced]:
        """The output for edited inputs, and what it has replaced in the record, which is theirs now."""
        output, *arrays = bound.ready(inputs, bound.tiles, {**record.arrays, **given})
        mx.eval(output, *arrays)
        stored = dict(zip(bound.ready.compiled.kept, arrays, strict=True))
        return output, bound.commits.apply(record.arrays, stored, output.astype(self.dtype), given)

    def swap(self, record: Record, replaced: Replaced) -> Replaced:
        """Puts back what a commit replaced, and returns what that replaces."""
        return exchange(record.arrays, replaced)

    @property
    def weights_nbytes(self) -> int:
        """Bytes of the weights."""
        return self.parameters.nbytes

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Planes are kept as they are computed."""
        return ("float16",) if self.dtype == mx.float16 else ("float32",)

    on_disk = False

    def put_on_disk(self, record: Record, folder: Path) -> None:
        """It keeps nothing on the disk."""
        raise NotImplementedError

    def expect(self, bound: "Bound", record: Record) -> None:
        """Everything is there."""

    def record_nbytes(self, codec: Codec | None = None) -> int:
        """Bytes that recording one step keeps: planes in the storage type, statistics in float32."""
        graph = self.lowered.graph
        shapes = {key: buffer.shape for key, buffer in self.lowered.recorded.items()}
        shapes["value", graph.output] = graph.nodes[graph.output].shape
        of_floats = *STATISTICS, "sums"
        return sum(
            math.prod(shape) * (4 if what in of_floats else self.dtype.size) for (what, _), shape in shapes.items()
        )

    @cached_property
    def _dense(self) -> "Ready":
        return self._ready(Compiled(self.lowered.dense, {}, self.dtype, self.trust.allows))

    @cached_property
    def _recording(self) -> "Ready":
        return self._ready(Compiled(self.lowered.recording, {}, self.dtype, self.trust.allows))

    @cached_property
    def _measuring(self) -> "Ready":
        return self._ready(Compiled(self.lowered.measuring, {}, self.dtype, self.trust.allows))

    @property
    def sizes(self) -> Sizes:
        """Those of edits that are not large."""
        return self.sizes_of(self.lowered.edit)

    def sizes_of(self, program: Program) -> Sizes:
        """Those of a program in tiles."""
        if id(program) not in self._sizes:
            self._sizes[id(program)] = Sizes(self.lowered, self.dtype, self.trust.allows, program)
        return self._sizes[id(program)]

    def _ready_for(self, program: Program, size: int) -> "Ready":
        key = id(program), size
        if key not in self._in_tiles:
            self._in_tiles[key] = self._ready(self.sizes_of(program).compiled(size))
        return self._in_tiles[key]

    def _ready(self, compiled: Compiled) -> "Ready":
        ready = Ready(compiled, self.parameters, self.device)
        self.holds(self._recorded)  # and weights, of which some may have been arranged
        return ready

    def _warm_up(self, program: Program, record: Record, inputs: Inputs) -> None:
        """Before the first edit by a program: runs it in every size on no tiles, so that MLX keeps what it makes of it
        and the driver compiles every kernel. Later edits then wait for neither."""
        if not self.device.lazy or id(program) in self._warm:
            return
        self._warm.add(id(program))
        none = self.lowered.tiling(np.zeros(self.lowered.image_size, np.bool_))
        for size in range(len(self.sizes_of(program).counts)):
            ready = self._ready_for(program, size)
            mx.eval(ready(inputs, tile_arrays(ready.compiled, none), record.arrays))


@dataclass(frozen=True)
class Bound:
    """An edit's tiles, by their slots, for a program that is ready."""

    ready: "Ready"
    tiles: Mapping[Any, mx.array]
    program: Program

    @property
    def launches(self) -> int:
        """How many kernels one run launches."""
        return sum(step.launch is not None for step in self.ready.compiled.steps)


@dataclass(frozen=True)
class BoundCommit:
    """Likewise, and how a record changes."""

    ready: "Ready"
    tiles: Mapping[Any, mx.array]
    commits: Commits


class Ready:
    """A compiled program with its parameters, on a device. Where arrays are lazy and every step is a launch, MLX keeps
    what the steps do with arrays of their shapes, and does it again without Python."""

    def __init__(self, compiled: Compiled, parameters: Parameters, where: Device):
        self.compiled = compiled
        placing, buffers = compiled.placing, compiled.program.buffers
        constants = {v: parameters.array(of, compiled.arranged.get(of)) for of, v in placing.parameters.items()}
        self._given = [(slot, buffers[slot]) for slot in placing.given]
        # A function of its own, that holds no reference to this: MLX would keep both for good.
        run = partial(_run, compiled, where, constants)
        self._run = mx.compile(run) if where.lazy and compiled.by_kernels else run

    def __call__(
        self, inputs: Inputs, tiles: Mapping[Any, mx.array] = NOTHING, recorded: Mapping[Any, mx.array] = NOTHING
    ) -> list[mx.array]:
        """The output, float32, then what the program records, in the order of `Compiled.kept`."""
        given = []
        for slot, buffer in self._given:
            if buffer.kind is Kind.INPUT:
                given.append(inputs[buffer.key])
            elif buffer.kind is Kind.RECORDED:
                given.append(recorded[buffer.key])
            else:
                given.append(tiles[slot])
        return self._run(given)


def _run(
    compiled: Compiled, where: Device, constants: Mapping[int, mx.array], given: Sequence[mx.array]
) -> list[mx.array]:
    """Runs a compiled program's steps on the arrays of its given slots."""
    placing, values = compiled.placing, dict(constants)
    for value, array in zip(placing.given.values(), given, strict=True):
        values[value] = array.astype(placing.dtype_of(value))
    for step in compiled.steps:
        if step.launch is None:
            results = substituted(step.call, placing, values).by_mlx()
        else:
            read = zip(step.reads, step.launch.inputs, strict=True)
            results = where.run(step.launch.on([array if v is None else values[v] for v, array in read]))
        values.update(zip(step.writes, results, strict=True))
        for value in step.last:
            del values[value]
    return [values[compiled.output].astype(mx.float32), *(values[v] for v in compiled.kept.values())]
