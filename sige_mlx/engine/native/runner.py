"""Running programs: threads, scratch memory, and a program bound to both."""

import ctypes
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native import library as c
from sige_mlx.engine.native.arena import Lifetime, plan
from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.native.weights import PackedWeights, aligned
from sige_mlx.errors import SigeError
from sige_mlx.graph.program import Kind, Program, slots_of

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


class BoundProgram:
    """A program with its structs made and its scratch planned; only inputs, output and recorded arrays change."""

    def __init__(
        self, program: Program, runner: Runner, weights: PackedWeights, tiles: Mapping[tuple[Kind, Any], Array]
    ):
        self.program = program
        self._runner = runner
        self._ops = marshal(program.ops)
        self._pointers = (ctypes.c_void_p * len(program.slots))()
        self._static = {}  # keeps the arrays alive behind the pointers
        for i, slot in enumerate(program.slots):
            if slot.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM):
                self._static[i] = weights.array(slot)
            elif slot.kind in (Kind.ROWS, Kind.GRID):
                self._static[i] = np.ascontiguousarray(tiles[slot.kind, slot.key], np.int32)
        for i, array in self._static.items():
            self._pointers[i] = array.ctypes.data
        self._offsets, self.scratch_nbytes = self._plan()

    def _plan(self) -> tuple[dict[int, int], int]:
        slots = self.program.slots
        used: dict[int, list[int]] = {}
        for index, op in enumerate(self.program.ops):
            for i in slots_of(op):
                owner = slots[i].key[0] if slots[i].kind is Kind.PART else i
                used.setdefault(owner, []).append(index)
        scratch = [i for i in used if slots[i].kind is Kind.SCRATCH]
        offsets, size = plan([Lifetime(slots[i].nbytes, used[i][0], used[i][-1]) for i in scratch])
        return dict(zip(scratch, offsets, strict=True)), size

    def run(
        self,
        inputs: Mapping[str, Array],
        output: Array,
        recorded: Mapping[Any, Array],
        seconds: "npt.NDArray[np.float64] | None" = None,
    ) -> None:
        """Runs the program. Arrays are C-contiguous float32; `seconds` receives each op's wall-clock time."""
        with self._runner.lock:
            scratch = self._runner.scratch(self.scratch_nbytes).ctypes.data
            for i, slot in enumerate(self.program.slots):
                if slot.kind is Kind.INPUT:
                    self._pointers[i] = inputs[slot.key].ctypes.data
                elif slot.kind is Kind.OUTPUT:
                    self._pointers[i] = output.ctypes.data
                elif slot.kind is Kind.RECORDED:
                    self._pointers[i] = recorded[slot.key].ctypes.data
                elif slot.kind is Kind.SCRATCH:
                    self._pointers[i] = scratch + self._offsets.get(i, 0)
            for i, slot in enumerate(self.program.slots):
                if slot.kind is Kind.PART:
                    self._pointers[i] = self._pointers[slot.key[0]] + 4 * slot.key[1]
            times = None if seconds is None else seconds.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            lib = c.library()
            count = len(self._ops)
            failed = lib.sige_run(self._runner.pool, self._ops, count, self._pointers, len(self._pointers), times)
        if failed:
            raise (
                MemoryError("the CPU engine ran out of memory")
                if failed > 0
                else RuntimeError(
                    f"op {-failed - 1} ({self.program.names[-failed - 1]}): {lib.sige_last_error().decode()}"
                )
            )
