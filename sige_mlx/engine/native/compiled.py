"""The C library compiles a program once per engine, binds it once per edit, and runs it once per sampler step."""

import ctypes
import errno
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.arena import Lifetime, placed
from sige_mlx.engine.native.joining import joined
from sige_mlx.engine.native.library import header, library
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.native.pool import Pool
from sige_mlx.engine.native.record import Layout
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.engine.statistics import Doubles
from sige_mlx.graph.program import Kind, Program, slots_of
from sige_mlx.graph.reads import tiles_touched
from sige_mlx.graph.tiling import Size, Tiling

Array = npt.NDArray[np.generic]
Addresses = npt.NDArray[np.uintp]


NOTHING: Mapping[Any, Any] = {}


class Checked:
    """The library has checked this program. Raises `RuntimeError`, which names the layer, for an op that it takes for
    malformed."""

    def __init__(self, program: Program):
        self.lists = [(slot, buffer.key) for slot, buffer in enumerate(program.buffers) if buffer.kind is Kind.ROWS]
        """These are slots of lists of tiles, and the sizes of their planes."""
        lib, wrong = library(), ctypes.c_int()
        ops = marshal(program.ops)
        self.handle: int = lib.sige_compile(ops, len(ops), len(program.buffers), ctypes.byref(wrong))
        if not self.handle:
            if wrong.value < 0:
                raise MemoryError(lib.sige_last_error().decode())
            raise RuntimeError(f"{program.names[wrong.value]}: {lib.sige_last_error().decode()}")
        weakref.finalize(self, lib.sige_program_destroy, self.handle)


class Planned:
    """The library has decided how a checked program is computed for the tiles of an edit, or for a dense pass, which
    has none."""

    def __init__(self, checked: Checked, tiling: Tiling | None):
        """The library keeps a copy of the lists of tiles."""
        self.checked = checked  # which must outlive it
        lists = checked.lists if tiling is not None else []
        tiles, alive = (header().structs["sige_tiles"] * len(lists))(), []
        for given, (slot, size) in zip(tiles, lists, strict=True):
            assert tiling is not None
            alive.append(np.ascontiguousarray(tiling.at(size).rows, np.int32))
            given.list, given.count = slot, len(alive[-1])
            given.rows = alive[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        self.handle: int = library().sige_bind(checked.handle, tiles, len(tiles))
        if not self.handle:
            raise RuntimeError(library().sige_last_error().decode())
        weakref.finalize(self, library().sige_bound_destroy, self.handle)


class Compiled:
    """The library has checked this program, its scratch arrays have offsets, and its weights are found. Raises
    `RuntimeError`, which names the layer, for an op that the library takes for malformed."""

    def __init__(self, program: Program, pool: Pool, weights: PackedWeights):
        self.program = program = joined(program)
        self.pool = pool
        self.pointers: Addresses = np.zeros(len(program.buffers), np.uintp)
        self.of_kind: dict[Kind, list[tuple[int, Any]]] = {kind: [] for kind in Kind}
        self._weights = []  # these keep the arrays behind the pointers alive
        for i, buffer in enumerate(program.buffers):
            self.of_kind[buffer.kind].append((i, buffer.key))
            if buffer.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM, Kind.FOLDED):
                self._weights.append(weights.array(buffer))
                self.pointers[i] = self._weights[-1].ctypes.data
        self.recorded = np.array([i for i, _ in self.of_kind[Kind.RECORDED]], np.intp)
        self.recorded_keys = [key for _, key in self.of_kind[Kind.RECORDED]]
        self.changes = {key: program.buffers[i].shape for i, key in self.of_kind[Kind.CHANGE]}
        parts = [(i, owner, 4 * first) for i, (owner, first) in self.of_kind[Kind.PART]]
        self.parts = np.array(parts, np.intp).reshape(-1, 3).T
        self.planes = program.planes
        self._place_scratch()
        self.checked = Checked(program)

    def _place_scratch(self) -> None:
        """Gives every scratch array an offset in an arena. Arrays of fixed size share one. Each plane has another,
        for the arrays of its tiles: it is laid out for one tile, and binding multiplies it by the number of tiles."""
        buffers = self.program.buffers
        used: dict[int, list[int]] = {}
        for index, op in enumerate(self.program.ops):
            for i in slots_of(op):
                owner = int(buffers[i].key[0] if buffers[i].kind is Kind.PART else i)
                used.setdefault(owner, []).append(index)
        lives: dict[Size | None, dict[int, Lifetime]] = {}
        for slot, ops in used.items():
            if buffers[slot].kind is Kind.SCRATCH:
                lives.setdefault(buffers[slot].tiles, {})[slot] = Lifetime(buffers[slot].nbytes, ops[0], ops[-1])
        self.arenas = np.zeros(len(self.planes) + 1, np.intp)
        """The arenas take so many bytes: those of planes for one tile; the last one holds arrays of fixed size."""
        slots: list[tuple[int, int, int]] = []
        for plane, of_slot in lives.items():
            arena = len(self.planes) if plane is None else self.planes.index(plane)
            offsets, self.arenas[arena] = placed(list(of_slot.values()))
            slots += [(i, arena, offset) for i, offset in zip(of_slot, offsets, strict=True)]
        self.scratch = np.array(slots, np.intp).reshape(-1, 3).T

    def bind(self, tiling: Tiling | None = None) -> "Bound":
        """Binds the program to the tiles of an edit; a dense pass has none."""
        return Bound(self, tiling)


class Bound:
    """A bound program can be run: only inputs, output and recorded arrays change from run to run."""

    def __init__(self, compiled: Compiled, tiling: Tiling | None):
        self.compiled = compiled
        counts = np.array([0 if tiling is None else len(tiling.at(size)) for size in compiled.planes] + [1], np.intp)
        sizes = counts * compiled.arenas
        slots, arena, offset = compiled.scratch
        self.scratch = slots, (np.cumsum(sizes) - sizes)[arena] + counts[arena] * offset
        """These are slots, and the byte offset of each slot's array."""
        self.scratch_nbytes = int(sizes.sum())
        self.tiling = tiling
        self._ranges: dict[Layout, list[tuple[int, int]]] = {}
        self._pointers = compiled.pointers.copy()
        self._grids: list[Array] = []  # these keep the arrays behind the pointers alive
        for i, size in compiled.of_kind[Kind.GRID]:
            assert tiling is not None
            self._grids.append(np.ascontiguousarray(tiling.at(size).grid, np.int32))
            self._pointers[i] = self._grids[-1].ctypes.data
        self.planned = Planned(compiled.checked, tiling)

    def ranges(self, layout: Layout) -> list[tuple[int, int]]:
        """Returns where in a record of this layout it reads and writes."""
        if layout not in self._ranges:
            assert self.tiling is not None
            self._ranges[layout] = layout.ranges(tiles_touched(self.compiled.program, self.tiling))
        return self._ranges[layout]

    def run(
        self,
        inputs: Mapping[Any, Array],
        output: Array,
        recorded: Mapping[Any, int] = NOTHING,
        changes: Mapping[Any, Doubles] = NOTHING,
        seconds: "npt.NDArray[np.float64] | None" = None,
    ) -> None:
        """Runs the program. Inputs and output are C-contiguous float32. `recorded` are the addresses of recorded
        arrays; `changes`, which are zero, receive the changes of sums, and `seconds` each op's wall-clock time."""
        compiled, pointers = self.compiled, self._pointers
        with compiled.pool.lock:
            slots, at = self.scratch
            pointers[slots] = compiled.pool.scratch(self.scratch_nbytes).ctypes.data + at
            for i, name in compiled.of_kind[Kind.INPUT]:
                pointers[i] = inputs[name].ctypes.data
            for i, key in compiled.of_kind[Kind.CHANGE]:
                pointers[i] = changes[key].ctypes.data
            for i, _ in compiled.of_kind[Kind.OUTPUT]:
                pointers[i] = output.ctypes.data
            pointers[compiled.recorded] = [recorded[key] for key in compiled.recorded_keys]
            part, owner, nbytes = compiled.parts
            pointers[part] = pointers[owner] + nbytes.astype(np.uintp)
            lib = library()
            times = None if seconds is None else seconds.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            failed = lib.sige_run(compiled.pool.handle, self.planned.handle, pointers.ctypes.data, times)
            if failed:
                error = MemoryError if failed == errno.ENOMEM else RuntimeError
                raise error(lib.sige_last_error().decode())
