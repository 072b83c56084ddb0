"""Programs ready for the C library: compiled once per engine, bound once per edit, run once per sampler step."""

import ctypes
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native import library as c
from sige_mlx.engine.native.arena import Lifetime, plan
from sige_mlx.engine.native.marshal import marshal, member
from sige_mlx.engine.native.pool import Pool
from sige_mlx.engine.native.weights import Floats, PackedWeights
from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, slots_of
from sige_mlx.graph.tiling import Size, Tiling

Array = npt.NDArray[np.generic]
Addresses = npt.NDArray[np.uintp]


class NativeRecord:
    """The arrays of the original that edits read, by key; the output is one of them."""

    def __init__(self, arrays: Mapping[Any, Floats]):
        self.arrays = arrays

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in self.arrays.values())

    @cached_property
    def address(self) -> dict[Any, int]:
        """Where each array begins: asking NumPy takes longer than all else that is done for an op."""
        return {key: a.ctypes.data for key, a in self.arrays.items()}


class Compiled:
    """A program with its structs made, its scratch memory planned and its weights found."""

    def __init__(self, program: Program, pool: Pool, weights: PackedWeights):
        self.program = program
        self.pool = pool
        self.ops = marshal(program.ops)
        self.pointers: Addresses = np.zeros(len(program.buffers), np.uintp)
        self.of_kind: dict[Kind, list[tuple[int, Any]]] = {kind: [] for kind in Kind}
        self._weights = []  # keeps the arrays behind the pointers alive
        for i, buffer in enumerate(program.buffers):
            self.of_kind[buffer.kind].append((i, buffer.key))
            if buffer.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM, Kind.FOLDED):
                self._weights.append(weights.array(buffer))
                self.pointers[i] = self._weights[-1].ctypes.data
        self.recorded = np.array([i for i, _ in self.of_kind[Kind.RECORDED]], np.intp)
        self.recorded_keys = [key for _, key in self.of_kind[Kind.RECORDED]]
        parts = [(i, owner, 4 * first) for i, (owner, first) in self.of_kind[Kind.PART]]
        self.parts = np.array(parts, np.intp).reshape(-1, 3).T
        self.planes = program.planes
        self._plan_scratch()
        # Where in the structs the number of tiles stands, of every op that computes tiles, and which plane's it is.
        at, planes, origin = [], [], ctypes.addressof(self.ops)
        for struct, op in zip(self.ops, program.ops, strict=True):
            if isinstance(op, p.Multiplying) and op.out.list != NONE:
                at.append(ctypes.addressof(member(struct).out) + c.Domain.tiles.offset - origin)
                planes.append(self.planes.index((op.out.h, op.out.w)))
        self.counted = np.array(at, np.intp) // 4
        self.counted_plane = np.array(planes, np.intp)

    def _plan_scratch(self) -> None:
        """Offsets of scratch arrays: of those of fixed size, and for each plane of one tile's, which share an arena as
        many times as large as the plane has tiles."""
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
        """Bytes of each arena: of one tile of each plane, and at last of arrays of fixed size."""
        placed: list[tuple[int, int, int]] = []
        for plane, of_slot in lives.items():
            arena = len(self.planes) if plane is None else self.planes.index(plane)
            offsets, self.arenas[arena] = plan(list(of_slot.values()))
            placed += [(i, arena, offset) for i, offset in zip(of_slot, offsets, strict=True)]
        self.scratch = np.array(placed, np.intp).reshape(-1, 3).T

    def bind(self, tiling: Tiling | None = None) -> "Bound":
        """The program on the tiles of an edit; None for a dense pass."""
        return Bound(self, tiling)


class Bound:
    """A program that can be run: only inputs, output and recorded arrays change from run to run."""

    def __init__(self, compiled: Compiled, tiling: Tiling | None):
        self.compiled = compiled
        counts = np.array([0 if tiling is None else len(tiling.at(size)) for size in compiled.planes] + [1], np.intp)
        sizes = counts * compiled.arenas
        slots, arena, offset = compiled.scratch
        self.scratch = slots, (np.cumsum(sizes) - sizes)[arena] + counts[arena] * offset
        """Slots, and the offset in bytes of each one's array."""
        self.scratch_nbytes = int(sizes.sum())
        self._ops = type(compiled.ops).from_buffer_copy(compiled.ops)
        np.frombuffer(memoryview(self._ops), np.int32)[compiled.counted] = counts[compiled.counted_plane]
        self._pointers = compiled.pointers.copy()
        self._tiles: list[Array] = []  # keeps the arrays behind the pointers alive
        for kind in (Kind.ROWS, Kind.GRID) if tiling is not None else ():
            for i, size in compiled.of_kind[kind]:
                assert tiling is not None
                level = tiling.at(size)
                self._tiles.append(np.ascontiguousarray(level.rows if kind is Kind.ROWS else level.grid, np.int32))
                self._pointers[i] = self._tiles[-1].ctypes.data

    def run(
        self,
        inputs: Mapping[Any, Array],
        output: Array,
        record: NativeRecord,
        seconds: "npt.NDArray[np.float64] | None" = None,
    ) -> None:
        """Runs the program. Arrays are C-contiguous float32; `seconds` receives each op's wall-clock time."""
        compiled, pointers = self.compiled, self._pointers
        with compiled.pool.lock:
            slots, at = self.scratch
            pointers[slots] = compiled.pool.scratch(self.scratch_nbytes).ctypes.data + at
            for i, name in compiled.of_kind[Kind.INPUT]:
                pointers[i] = inputs[name].ctypes.data
            for i, _ in compiled.of_kind[Kind.OUTPUT]:
                pointers[i] = output.ctypes.data
            address = record.address
            pointers[compiled.recorded] = [address[key] for key in compiled.recorded_keys]
            part, owner, nbytes = compiled.parts
            pointers[part] = pointers[owner] + nbytes.astype(np.uintp)
            lib, n = c.library(), len(self._ops)
            found = pointers.ctypes.data_as(ctypes.POINTER(ctypes.c_void_p))
            times = None if seconds is None else seconds.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            failed = lib.sige_run(compiled.pool.handle, self._ops, n, found, len(pointers), times)
        if failed > 0:
            raise MemoryError("the CPU engine ran out of memory")
        if failed:
            layer = compiled.program.names[-failed - 1]
            raise RuntimeError(f"op {-failed - 1} ({layer}): {lib.sige_last_error().decode()}")
