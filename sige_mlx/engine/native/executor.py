"""The native executor lets the C library run programs on the CPU."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced, renewed, touched
from sige_mlx.engine.estimates import given
from sige_mlx.engine.files import BLOCKS
from sige_mlx.engine.inputs import Input
from sige_mlx.engine.native.compiled import NOTHING, Bound, Compiled
from sige_mlx.engine.native.pool import Pool
from sige_mlx.engine.native.record import CODECS, Layout, NativeRecord
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.engine.recordings import Codec
from sige_mlx.engine.statistics import Doubles
from sige_mlx.engine.weights import Floats, Loader
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.reads import Held, tiles_read
from sige_mlx.graph.tiling import Tiling

Inputs = Mapping[Any, Input]
"""Inputs go by the graph's names for them, embeddings by themselves."""


class NativeExecutor:
    """It runs, records and edits one network on the CPU. `load` gives its parameters by name; 0 `threads` are one per
    processor."""

    def __init__(self, lowered: Lowered, load: Loader, threads: int = 0):
        self.lowered = lowered
        self.pool = Pool(threads)
        self.weights = PackedWeights(lowered.groups, lowered.dense, load)
        self._layouts: dict[Codec, Layout] = {}
        self._programs: dict[int, tuple[Program, Compiled]] = {}  # by `id`, which stays a program's while it is kept
        self._dense_programs: dict[int, Bound] = {}

    @property
    def threads(self) -> int:
        """So many threads run ops."""
        return self.pool.threads

    @property
    def weights_nbytes(self) -> int:
        """The weights take so many bytes."""
        return self.weights.nbytes

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """It can keep planes so."""
        return CODECS

    @property
    def on_disk(self) -> bool:
        """It reads a record from wherever that is mapped."""
        return True

    def layout(self, codec: Codec) -> Layout:
        """Returns how records are laid out whose planes are stored so."""
        if codec not in self._layouts:
            self._layouts[codec] = Layout(self.lowered, codec)
        return self._layouts[codec]

    def record_nbytes(self, codec: Codec) -> int:
        """Recording one step keeps so many bytes."""
        return self.layout(codec).nbytes

    def put_on_disk(self, record: NativeRecord, folder: Path) -> None:
        """Moves a record into a file without a name in a folder. Raises `SigeError` when that cannot be written."""
        record.put_on_disk(folder)

    def run(self, inputs: Inputs) -> mx.array:
        """Returns the dense output."""
        return mx.array(self._run(self._dense, inputs))

    def record(
        self, inputs: Inputs, codec: Codec = "float32", only: Tiling | None = None
    ) -> tuple[mx.array, NativeRecord]:
        """Returns the dense output, and the arrays that edits need: all of them, or only that of these tiles."""
        layout = self.layout(codec) if only is None else Layout(self.lowered, codec, self._ring(only))
        record = NativeRecord(layout, BLOCKS.new(layout.nbytes, layout))
        output = self._run(self._recording, inputs, record.address)
        if ("value", self.lowered.graph.output) not in self.lowered.stored:
            record.arrays["value", self.lowered.graph.output][...] = output
        return mx.array(output), record

    def _ring(self, tiling: Tiling) -> dict[Any, Held]:
        """Returns the tiles that an edit reads of every plane; the output is kept whole."""
        none = {
            key: np.zeros((n, -(-h // self.lowered.tile), -(-w // self.lowered.tile)), np.bool_)
            for key, buffer in self.lowered.stored.items()
            for n, h, w, _ in [buffer.shape]
        }
        ring = none | tiles_read(self.lowered.edit_of(tiling), tiling)
        ring.pop(("value", self.lowered.graph.output), None)
        return ring

    def measure(self, inputs: Inputs) -> Mapping[Any, Doubles]:
        """Returns the moments of all norms, and keeps nothing."""
        arrays = {key: np.empty(b.shape, b.dtype) for key, b in self.lowered.measuring.recorded.items()}
        self._run(self._measuring, inputs, {key: array.ctypes.data for key, array in arrays.items()})
        return {norm: moments for (_, norm), moments in arrays.items()}

    def keep(
        self, program: Program, inputs: Inputs, recorded: Mapping[Any, npt.NDArray[Any]] = NOTHING
    ) -> tuple[mx.array, Mapping[Any, npt.NDArray[Any]]]:
        """Returns the output of a dense program with this network's weights, whatever its planes, and what it records;
        arrays that it reads of a record are given."""
        made = {key: np.empty(b.shape, b.dtype) for key, b in program.recorded.items() if key not in recorded}
        reads = {key: np.ascontiguousarray(of, program.recorded[key].dtype) for key, of in recorded.items()}
        addresses = {key: array.ctypes.data for key, array in {**reads, **made}.items()}
        return mx.array(self._run(self._whole(program), inputs, addresses)), made

    def given(self, record: NativeRecord, measured: Mapping[Any, Doubles], estimated: bool) -> Mapping[Any, Any]:
        """Returns what takes the place of recorded arrays once this was measured: that, and the statistics that it
        gives an edit if they are estimated."""
        return given(self.lowered, record.arrays, measured, estimated)

    def output(self, record: NativeRecord) -> mx.array:
        """Returns the recorded output."""
        key = "value", self.lowered.graph.output
        if key not in self.lowered.stored:
            return mx.array(record.arrays[key])
        n, h, w, c = self.lowered.stored[key].shape
        tile = self.lowered.tile
        down, across = -(-h // tile), -(-w // tile)
        blocks = record.arrays[key].view(np.float32).reshape(n, down, across, tile, tile, c)
        plane = blocks.swapaxes(2, 3).reshape(n, down * tile, across * tile, c)
        return mx.array(plane[:, :h, :w])

    def give_output(self, record: NativeRecord, output: mx.array) -> None:
        """Gives a record another output."""
        key = "value", self.lowered.graph.output
        plane = np.asarray(output)
        if key not in self.lowered.stored:
            record.arrays[key][...] = plane
            return
        n, h, w, c = plane.shape
        tile = self.lowered.tile
        padded = np.pad(plane, [(0, 0), (0, -h % tile), (0, -w % tile), (0, 0)])
        blocks = padded.reshape(n, -(-h // tile), tile, -(-w // tile), tile, c).swapaxes(2, 3)
        record.arrays[key].view(np.float32)[...] = blocks.reshape(-1, tile * tile * c)

    def holds(self, nbytes: int) -> None:
        """Recordings are the process's own memory."""

    @property
    def keeps(self) -> str:
        """All that says how it keeps a step."""
        return repr([sorted(self.layout(codec).places.items(), key=repr) for codec in CODECS])

    def store(self, record: NativeRecord) -> tuple[Codec, list[npt.NDArray[Any]]]:
        """Returns how planes of a record are kept, and its block, for a file."""
        return record.layout.codec, [record.block]

    def restored(self, codec: Codec, arrays: Sequence[npt.NDArray[Any]]) -> NativeRecord:
        """Returns a record of what `store` gave. Raises `SigeError` for another block."""
        told = [(a.shape, a.dtype) for a in arrays]
        if codec not in CODECS or told != [((self.layout(codec).nbytes,), np.dtype(np.uint8))]:
            raise SigeError("these arrays are no recording of this network")
        return NativeRecord(self.layout(codec), arrays[0])

    def bind(self, tiling: Tiling, statistics: Statistics) -> Bound:
        """Binds the program of edits with these statistics to the tiles of one."""
        return self._compiled(self.lowered.edits[statistics]).bind(tiling)

    def edit(self, bound: Bound, record: NativeRecord, inputs: Inputs, given: Mapping[Any, Any] = NOTHING) -> mx.array:
        """Returns the output for edited inputs."""
        if record.file:
            record.file.need(bound.ranges(record.layout))
        output = mx.array(self._run(bound, inputs, _addresses(record, given)))
        if record.file:
            record.file.release()
        return output

    def expect(self, bound: Bound, record: NativeRecord) -> None:
        """Lets the disk bring in what running a bound program will read of a record."""
        if record.file:
            record.file.expect(bound.ranges(record.layout))

    def bind_commit(self, tiling: Tiling, statistics: Statistics) -> Bound:
        """Binds the program of commits with these statistics to the tiles of an edit."""
        return self._compiled(self.lowered.commits[statistics]).bind(tiling)

    def commit(
        self, bound: Bound, record: NativeRecord, inputs: Inputs, given: Mapping[Any, Any] = NOTHING
    ) -> tuple[mx.array, Replaced]:
        """Returns the output for edited inputs, and what it has replaced in the record, which is theirs now."""
        assert bound.tiling is not None
        if record.file:
            record.file.need(bound.ranges(record.layout))
        before = record.part(touched(self.lowered, bound.tiling))
        changes: dict[Any, Doubles] = {key: np.zeros(shape) for key, shape in bound.compiled.changes.items()}
        try:
            output = self._run(bound, inputs, _addresses(record, given), changes)
            arrays: dict[Any, Any] = {**renewed(self.lowered, record.arrays, changes), **given}
            if ("value", self.lowered.graph.output) in before.arrays:
                arrays["value", self.lowered.graph.output] = output
            record.put(Replaced(arrays, {}))
        except BaseException:  # whatever stopped it: half of a commit is none
            record.put(before)
            raise
        finally:
            if record.file:
                record.file.release()
        return mx.array(output), before

    def swap(self, record: NativeRecord, replaced: Replaced) -> Replaced:
        """Puts back what a commit replaced, and returns what that replaces."""
        before = record.exchange(replaced)
        if record.file:
            record.file.release()
        return before

    def profile(
        self, inputs: Inputs, bound: Bound | None = None, record: NativeRecord | None = None
    ) -> tuple[Program, npt.NDArray[np.float64]]:
        """Runs an edit, or the dense pass without one; returns the program, and each op's seconds."""
        bound = bound or self._dense
        seconds = np.zeros(len(bound.compiled.program.ops))
        self._run(bound, inputs, NOTHING if record is None else record.address, seconds=seconds)
        return bound.compiled.program, seconds

    @cached_property
    def _dense(self) -> Bound:
        return Compiled(self.lowered.dense, self.pool, self.weights).bind()

    @cached_property
    def _recording(self) -> Bound:
        return Compiled(self.lowered.recording, self.pool, self.weights).bind()

    @cached_property
    def _measuring(self) -> Bound:
        return Compiled(self.lowered.measuring, self.pool, self.weights).bind()

    def _compiled(self, program: Program) -> Compiled:
        """Compiles a program in tiles once."""
        if id(program) not in self._programs:
            self._programs[id(program)] = program, Compiled(program, self.pool, self.weights)
        return self._programs[id(program)][1]

    def _whole(self, program: Program) -> Bound:
        """Binds a dense program once."""
        if id(program) not in self._dense_programs:
            self._dense_programs[id(program)] = self._compiled(program).bind()
        return self._dense_programs[id(program)]

    def _run(
        self,
        bound: Bound,
        inputs: Inputs,
        recorded: Mapping[Any, int] = NOTHING,
        changes: Mapping[Any, Doubles] = NOTHING,
        seconds: npt.NDArray[np.float64] | None = None,
    ) -> Floats:
        given = {name: np.ascontiguousarray(np.asarray(x), np.float32) for name, x in inputs.items()}
        shape = next(b.shape for b in bound.compiled.program.buffers if b.kind is Kind.OUTPUT)
        output = np.empty(shape, np.float32)
        bound.run(given, output, recorded, changes, seconds)
        return output


def _addresses(record: NativeRecord, given: Mapping[Any, Any]) -> Mapping[Any, int]:
    """Returns where recorded arrays are, and others in the place of some."""
    return {**record.address, **{key: array.ctypes.data for key, array in given.items()}} if given else record.address
