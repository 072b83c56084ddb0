"""Hands a launch to the runtime. The structs are those of runtime/worker.h and include/msl/context.h."""

import ctypes
import os
from collections.abc import Sequence
from ctypes import POINTER, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass

import numpy as np

from .compile import Module, runtime
from .counters import TOTALS, Counters, counters
from .errors import SimError
from .faults import Fault, Launched

_OWNER = np.dtype([("group", np.uint32), ("stamp", np.uint32), ("thread", np.uint16), ("site", np.uint16)])


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("owners", c_void_p),
        ("bytes", c_uint64),
        ("granule_shift", c_uint32),
        ("initialised", c_uint32),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("entry", c_void_p),
        ("buffers", POINTER(_Buffer)),
        ("buffer_count", c_uint32),
        ("grid", c_uint32 * 3),
        ("threadgroup", c_uint32 * 3),
        *((name, c_uint32) for name in ("seed", "workers", "sites", "blocks")),
        ("block_counts", c_void_p),
        ("chosen", c_void_p),
        ("chosen_count", c_uint32),
        ("fault", POINTER(Fault)),
        ("totals", POINTER(c_uint64 * TOTALS)),
    ]


@dataclass(frozen=True)
class Argument:
    """A buffer argument; the kernel writes to an output's memory."""

    array: np.ndarray
    output: bool = False


def launch(
    module: Module,
    arguments: Sequence[Argument],
    grid: Sequence[int],
    threadgroup: Sequence[int],
    *,
    initialised: bool,
    seed: int,
    count: bool,
    only: Sequence[int] | None = None,
) -> tuple[list[int], Counters | None]:
    """Runs a compiled kernel, or of its threadgroups only those numbered `only`; returns how many elements of each
    output were written, and the counters if `count`. Raises `SimError` for a fault."""
    if len(arguments) != len(module.buffers):
        raise SimError(f"kernel {module.name}: {len(module.buffers)} buffers for {len(arguments)} arrays")
    buffers = (_Buffer * len(arguments))()
    owners = []
    for buffer, argument in zip(buffers, arguments, strict=True):
        a = argument.array
        shift = min(a.itemsize.bit_length() - 1, 2)
        shadow = None
        if argument.output:
            owners.append(np.zeros(a.nbytes >> shift, _OWNER))
            shadow = owners[-1].ctypes.data
        buffer.data, buffer.owners, buffer.bytes = a.ctypes.data, shadow, a.nbytes
        buffer.granule_shift, buffer.initialised = shift, initialised
    workers = os.cpu_count() or 1
    passes = np.zeros((workers, len(module.blocks)), np.uint64)
    chosen = None if only is None else np.array(only, np.uint32)
    fault, totals = Fault(), (c_uint64 * TOTALS)()
    described = _Launch(
        entry=module.entry,
        buffers=buffers,
        buffer_count=len(arguments),
        grid=tuple(grid),
        threadgroup=tuple(threadgroup),
        seed=seed,
        workers=workers,
        sites=len(module.sites),
        blocks=len(module.blocks),
        block_counts=passes.ctypes.data if count else None,
        chosen=None if chosen is None else chosen.ctypes.data,
        chosen_count=0 if chosen is None else len(chosen),
        fault=ctypes.pointer(fault),
        totals=ctypes.pointer(totals),
    )
    runtime().sim_launch(ctypes.byref(described))
    if fault.kind:
        sizes = [(a.array.nbytes, a.array.itemsize) for a in arguments]
        raise Launched(module, sizes, grid, threadgroup).error(fault)
    outputs = [a.array for a in arguments if a.output]
    granules = [max(1, a.itemsize // 4) for a in outputs]
    written = [
        a.size if initialised else int(np.count_nonzero(o["group"])) // n
        for a, o, n in zip(outputs, owners, granules, strict=True)
    ]
    return written, counters(list(totals), passes, module.blocks) if count else None
