"""Running programs: threads, scratch memory, and programs bound to both."""

import ctypes
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native import library as c
from sige_mlx.engine.native.arena import Lifetime, plan
from sige_mlx.engine.native.marshal import marshal, member
from sige_mlx.engine.native.weights import PackedWeights, aligned
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, slots_of
from sige_mlx.graph.tiling import Size, Tiling

Array = npt.NDArray[np.generic]


class Runner:
    """A thread pool and one block of scratch memory, which every program of an engine shares."""

    def __init__(self, threads: int = 0):
        lib = c.library()
        self.pool = lib.sige_pool_create(threads)
        if not self.pool:
            raise SigeError(f"{threads} threads could not be started")
        weakref.finalize(self, lib.sige_pool_destroy, self.pool)
        self.threads: int = lib.sige_pool_threads(self.pool)
        self.lock = threading.Lock()
        self._scratch = aligned(0)

    def scratch(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """At least `nbytes` of memory, whose content the next program overwrites."""
        if self._scratch.nbytes < nbytes:
            self._scratch = aligned(nbytes)
        return self._scratch


class Binding:
    """A program with its structs made, its scratch planned and its weights found. For an edit's template all of that is
    done for one tile in every plane, once; `on` makes it ready for a mask."""

    def __init__(self, program: Program, runner: Runner, weights: PackedWeights):
        self.program = program
        self.runner = runner
        self.ops = marshal(program.ops)
        self.pointers = (ctypes.c_void_p * len(program.slots))()
        self.of_kind: dict[Kind, list[tuple[int, Any]]] = {kind: [] for kind in Kind}
        self._weights = []  # keeps the arrays behind the pointers alive
        for i, slot in enumerate(program.slots):
            self.of_kind[slot.kind].append((i, slot.key))
            if slot.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM, Kind.FOLDED):
                self._weights.append(weights.array(slot))
                self.pointers[i] = self._weights[-1].ctypes.data
        self._arenas = self._plan()

    def _plan(self) -> dict[Size | None, tuple[dict[int, int], int]]:
        """Offsets of scratch slots, and the bytes of all: for arrays of fixed size, and by plane for one tile's."""
        slots = self.program.slots
        used: dict[int, list[int]] = {}
        for index, op in enumerate(self.program.ops):
            for i in slots_of(op):
                owner = slots[i].key[0] if slots[i].kind is Kind.PART else i
                used.setdefault(owner, []).append(index)
        lives: dict[Size | None, dict[int, Lifetime]] = {}
        for i, ops in used.items():
            if slots[i].kind is Kind.SCRATCH:
                lives.setdefault(slots[i].tiles, {})[i] = Lifetime(slots[i].nbytes, ops[0], ops[-1])
        arenas = {}
        for plane, of_slot in lives.items():
            offsets, size = plan(list(of_slot.values()))
            arenas[plane] = (dict(zip(of_slot, offsets, strict=True)), size)
        return arenas

    def offsets(self, tiling: Tiling | None) -> tuple[dict[int, int], int]:
        """Byte offsets of scratch slots on the tiles of an edit, and the bytes of all."""
        placed: dict[int, int] = {}
        end = 0
        for plane, (offsets, size) in self._arenas.items():
            count = 1 if plane is None or tiling is None else len(tiling.at(plane))
            placed |= {i: end + count * offset for i, offset in offsets.items()}
            end += count * size
        return placed, end

    def on(self, tiling: Tiling | None = None) -> "BoundProgram":
        """The program on the tiles of an edit; None for a dense pass."""
        return BoundProgram(self, tiling)


class BoundProgram:
    """A program that can be run: only inputs, output and recorded arrays change from run to run."""

    def __init__(self, binding: Binding, tiling: Tiling | None):
        self.binding = binding
        self.scratch_offsets, self.scratch_nbytes = binding.offsets(tiling)
        self._ops = type(binding.ops).from_buffer_copy(binding.ops)
        self._pointers = type(binding.pointers).from_buffer_copy(binding.pointers)
        self._tiles = []  # keeps the arrays behind the pointers alive
        if tiling is not None:
            self._count_tiles(tiling)
            for kind in (Kind.ROWS, Kind.GRID):
                for i, size in binding.of_kind[kind]:
                    level = tiling.at(size)
                    self._tiles.append(np.ascontiguousarray(level.rows if kind is Kind.ROWS else level.grid, np.int32))
                    self._pointers[i] = self._tiles[-1].ctypes.data

    def _count_tiles(self, tiling: Tiling) -> None:
        """What `Program.on` does, on the structs."""
        for struct, op in zip(self._ops, self.binding.program.ops, strict=True):
            if isinstance(op, p.Multiplying) and op.out.list != NONE:
                member(struct).out.tiles = len(tiling.at((op.out.h, op.out.w)))

    def run(
        self,
        inputs: Mapping[str, Array],
        output: Array,
        recorded: Mapping[Any, Array],
        seconds: "npt.NDArray[np.float64] | None" = None,
    ) -> None:
        """Runs the program. Arrays are C-contiguous float32; `seconds` receives each op's wall-clock time."""
        runner, pointers, of_kind = self.binding.runner, self._pointers, self.binding.of_kind
        with runner.lock:
            scratch = runner.scratch(self.scratch_nbytes).ctypes.data
            for i, offset in self.scratch_offsets.items():
                pointers[i] = scratch + offset
            for i, name in of_kind[Kind.INPUT]:
                pointers[i] = inputs[name].ctypes.data
            for i, _ in of_kind[Kind.OUTPUT]:
                pointers[i] = output.ctypes.data
            for i, key in of_kind[Kind.RECORDED]:
                pointers[i] = recorded[key].ctypes.data
            for i, (owner, floats) in of_kind[Kind.PART]:
                pointers[i] = pointers[owner] + 4 * floats
            times = None if seconds is None else seconds.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            lib = c.library()
            failed = lib.sige_run(runner.pool, self._ops, len(self._ops), pointers, len(pointers), times)
        if failed > 0:
            raise MemoryError("the CPU engine ran out of memory")
        if failed:
            layer = self.binding.program.names[-failed - 1]
            raise RuntimeError(f"op {-failed - 1} ({layer}): {lib.sige_last_error().decode()}")
