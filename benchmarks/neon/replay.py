"""Writes what an engine runs for `cpu/tests/replay.c`: a recording pass, then an edit of what it recorded."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native.marshal import marshal
from sige_mlx.engine.native.record import CODECS, Layout
from sige_mlx.engine.weights import Loader, bias, folded, kernel_by_channel, kernels
from sige_mlx.engine.weights import floats as parameter
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Buffer, Kind, Program
from sige_mlx.graph.tiling import Tiling

Inputs = Mapping[Any, npt.NDArray[np.float32]]
"""By the program's names for them, embeddings by themselves."""


class Replay:
    """The recording of `lowered` on the first inputs, and the edit of these tiles on the second. Its results are both
    outputs."""

    def __init__(self, lowered: Lowered, load: Loader, tiling: Tiling, original: Inputs, edited: Inputs):
        self._lowered, self._load = lowered, load
        self._layout = Layout(lowered, "float32")
        self._arrays: list[bytes] = []
        self._shared: dict[Hashable, int] = {}  # weights and what is recorded
        self._packs: list[bytes] = []
        self._convs = {value.value: value for value in lowered.groups.ops if isinstance(value, FusedConv)}
        edit = lowered.edit_of(tiling)
        self._outputs: list[int] = []
        self._passes = [self._pass(lowered.recording, None, original), self._pass(edit, tiling, edited)]

    def file(self) -> bytes:
        """What the other program reads."""
        counts = len(self._arrays), len(self._packs), len(self._passes), len(self._outputs)
        return b"".join([_numbers(*counts), *self._arrays, *self._packs, *self._passes, _numbers(*self._outputs)])

    def _array(self, nbytes: int, given: npt.NDArray[Any] | None = None, codec: int = -1) -> int:
        content = b"" if given is None else np.ascontiguousarray(given).tobytes()
        self._arrays.append(_numbers(nbytes, codec, given is not None) + content)
        return len(self._arrays) - 1

    def _pass(self, program: Program, tiling: Tiling | None, inputs: Inputs) -> bytes:
        ops = marshal(program.ops)
        convs: dict[int, int] = {op.weight: i for i, op in enumerate(program.ops) if isinstance(op, p.Conv)}
        arrays: list[int] = []
        for slot, buffer in enumerate(program.buffers):
            if buffer.kind is Kind.WEIGHT and slot in convs:
                arrays.append(self._packed(buffer, ops[convs[slot]].u.conv, program.ops[convs[slot]]))
            elif buffer.kind in (Kind.WEIGHT, Kind.BIAS, Kind.PARAM, Kind.FOLDED, Kind.RECORDED):
                arrays.append(self._kept(buffer))
            else:
                arrays.append(self._of_pass(buffer, tiling, inputs))
        slots: list[int] = []
        for slot, buffer in enumerate(program.buffers):
            owner, first = buffer.key if buffer.kind is Kind.PART else (p.Slot(slot), 0)
            slots += [arrays[owner], 4 * first]
        self._outputs += [arrays[i] for i, b in enumerate(program.buffers) if b.kind is Kind.OUTPUT]
        lists = [(slot, b.key) for slot, b in enumerate(program.buffers) if b.kind is Kind.ROWS]
        parts = [_numbers(len(ops)), bytes(ops), _numbers(len(program.buffers), *slots, len(lists))]
        for slot, size in lists:
            assert tiling is not None
            rows = np.ascontiguousarray(tiling.at(size).rows, np.int32)
            parts.append(_numbers(slot, len(rows)) + rows.tobytes())
        return b"".join(parts)

    def _of_pass(self, buffer: Buffer, tiling: Tiling | None, inputs: Inputs) -> int:
        """An array that one pass uses; -1 for what is none by itself."""
        if buffer.kind is Kind.INPUT:
            return self._array(buffer.nbytes, np.asarray(inputs[buffer.key], np.float32))
        if buffer.kind is Kind.OUTPUT:
            return self._array(4 * int(np.prod(self._lowered.graph.nodes[self._lowered.graph.output].shape)))
        if buffer.kind is Kind.GRID:
            assert tiling is not None
            grid = np.ascontiguousarray(tiling.at(buffer.key).grid, np.int32)
            return self._array(grid.nbytes, grid)
        if buffer.kind is Kind.SCRATCH:
            tiles = 1
            if buffer.tiles is not None:
                assert tiling is not None
                tiles = len(tiling.at(buffer.tiles))
            return self._array(buffer.nbytes * tiles)
        return -1

    def _kept(self, buffer: Buffer) -> int:
        """An array that both passes use."""
        if (name := (buffer.kind, buffer.key)) in self._shared:
            return self._shared[name]
        if buffer.kind is Kind.RECORDED:
            place = self._layout.places[buffer.key]
            self._shared[name] = self._array(place.nbytes, codec=-1 if place.codec is None else place.codec)
            assert place.codec in (None, CODECS.index("float32"))
            return self._shared[name]
        if buffer.kind is Kind.WEIGHT:
            values = kernel_by_channel(self._convs[buffer.key], self._load)
        elif buffer.kind is Kind.PARAM:
            values = parameter(self._load, buffer.key)
        else:
            values = (bias if buffer.kind is Kind.BIAS else folded)(buffer, self._load)
        self._shared[name] = self._array(values.nbytes, values)
        return self._shared[name]

    def _packed(self, buffer: Buffer, op: Any, conv: p.ProgramOp) -> int:
        """An array for weights, which the other program packs, since layouts differ by instruction set."""
        name = buffer.kind, buffer.key
        if name not in self._shared:
            assert isinstance(conv, p.Conv)
            self._shared[name] = self._array(0)
            pack, source = [_numbers(self._shared[name]), bytes(op)], 0
            fused = self._convs[buffer.key]
            for term, values in zip(fused.terms, kernels(fused, self._load), strict=True):
                first = 0
                for _ in term.reads:
                    pack.append(_numbers(term.weight_shape[-1], first, values.nbytes) + values.tobytes())
                    first += conv.source[source].x.c
                    source += 1
            self._packs.append(b"".join(pack))
        return self._shared[name]


def _numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)
