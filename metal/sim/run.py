"""Runs a kernel of MLX's on this machine."""

import ctypes
import os
from collections.abc import Sequence
from ctypes import POINTER, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from .capture import Captured, capture
from .compile import Module, check_threads, compiled, runtime
from .counters import Counters, counters
from .errors import SimError
from .faults import Fault, error

Shape = Sequence[int]
MAX_BUFFERS = 31


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("owners", c_void_p),
        ("bytes", c_uint64),
        ("granule_shift", c_uint32),
        ("initialised", c_uint32),
    ]


_TOTALS = 18


class _Launch(ctypes.Structure):
    _fields_ = [
        ("entry", c_void_p),
        ("buffers", POINTER(_Buffer)),
        ("buffer_count", c_uint32),
        ("grid", c_uint32 * 3),
        ("threadgroup", c_uint32 * 3),
        *((name, c_uint32) for name in ("seed", "workers", "sites", "blocks")),
        ("block_counts", c_void_p),
        ("fault", POINTER(Fault)),
        ("totals", POINTER(c_uint64 * _TOTALS)),
    ]


OWNER = np.dtype([("group", np.uint32), ("stamp", np.uint32), ("thread", np.uint16), ("site", np.uint16)])


@dataclass(frozen=True)
class Run:
    """What a launch gave."""

    outputs: list[mx.array]
    unwritten: tuple[int, ...]
    """For every output, how many of its elements no thread wrote: on a Mac they would hold anything, here NaN."""
    counted: Counters | None

    @property
    def counters(self) -> Counters:
        """Raises `SimError` unless the launch was run with `count=True`."""
        if self.counted is None:
            raise SimError("this launch was not counted: run it with count=True")
        return self.counted


@dataclass
class _Argument:
    name: str
    array: np.ndarray
    output: bool = False


def simulate(
    kernel: Any,
    *,
    inputs: Sequence[Any],
    template: Sequence[tuple[str, Any]] | None = None,
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
    output_shapes: Sequence[Shape],
    output_dtypes: Sequence[mx.Dtype],
    init_value: float | None = None,
    seed: int = 0,
    count: bool = False,
) -> Run:
    """Runs `kernel`, made by `mx.fast.metal_kernel`, as a Mac would, with the arguments of its call.

    `seed` picks the order in which threads, simdgroups and threadgroups run; 0 is the natural one. `count` compiles the
    kernel with counters, which makes it several times slower. Raises `SimError` for what Metal would refuse, and for
    accesses, races and barriers that are wrong.
    """
    arrays = [x if isinstance(x, mx.array) else mx.array(x) for x in inputs]
    if len(grid) != 3 or len(threadgroup) != 3 or min(*grid, *threadgroup) < 1:
        raise SimError(f"grid {grid} and threadgroup {threadgroup} must be three positive numbers each")
    captured = capture(
        kernel,
        arrays,
        template,
        grid=grid,
        threadgroup=threadgroup,
        output_shapes=output_shapes,
        output_dtypes=output_dtypes,
        init_value=init_value,
    )
    size = [min(t, g) for t, g in zip(threadgroup, grid, strict=True)]
    check_threads(captured.name, int(np.prod(size)))
    module = compiled(captured, count)
    arguments = [*_input_arguments(captured, arrays), *_outputs(output_shapes, output_dtypes, init_value)]
    if len(arguments) != module.buffers:
        raise SimError(f"kernel {captured.name}: {module.buffers} buffer arguments for {len(arguments)} arrays")
    if module.buffers > MAX_BUFFERS:
        raise SimError(f"kernel {captured.name}: {module.buffers} buffer arguments; Metal allows {MAX_BUFFERS}")
    owners, counted = _launch(module, arguments, grid, threadgroup, size, init_value is not None, seed, count)
    results = [a.array for a in arguments if a.output]
    unwritten = tuple(0 if init_value is not None else int(np.count_nonzero(o["group"] == 0)) for o in owners)
    outputs = [_to_mlx(a, dtype) for a, dtype in zip(results, output_dtypes, strict=True)]
    return Run(outputs, unwritten, counted)


def _input_arguments(kernel: Captured, arrays: Sequence[mx.array]) -> list[_Argument]:
    mx.eval(*arrays)
    arguments = []
    for i, (x, (shape, strides, ndim)) in enumerate(zip(arrays, kernel.shape_infos, strict=True)):
        name = f"input {i}"
        a = _to_numpy(x)
        if kernel.row_contiguous:
            a = np.ascontiguousarray(a).reshape(x.shape)
        arguments.append(_Argument(name, a))
        if x.ndim:
            if shape:
                arguments.append(_Argument(f"{name}'s shape", np.array(x.shape, np.int32)))
            if strides:
                steps = np.array([s // a.itemsize for s in a.strides], np.int64)
                arguments.append(_Argument(f"{name}'s strides", steps))
            if ndim:
                arguments.append(_Argument(f"{name}'s ndim", np.array(x.ndim, np.int32)))
    return arguments


def _outputs(shapes: Sequence[Shape], dtypes: Sequence[mx.Dtype], value: float | None) -> list[_Argument]:
    arguments = []
    for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True)):
        if value is None:
            a = np.empty(tuple(shape), _numpy_dtype(dtype))
            a.reshape(-1).view(np.uint8).fill(0xFF)
        else:
            a = np.array(_to_numpy(mx.full(tuple(shape), value, dtype=dtype)))
        arguments.append(_Argument(f"output {i}", a, output=True))
    return arguments


def _launch(
    module: Module,
    arguments: Sequence[_Argument],
    grid: Sequence[int],
    threadgroup: Sequence[int],
    size: Sequence[int],
    initialised: bool,
    seed: int,
    count: bool,
) -> tuple[list[np.ndarray], Counters | None]:
    buffers = (_Buffer * len(arguments))()
    owners = []
    for buffer, argument in zip(buffers, arguments, strict=True):
        a = argument.array
        shift = min(a.itemsize.bit_length() - 1, 2)
        shadow = None
        if argument.output:
            owners.append(np.zeros(max(1, a.nbytes >> shift), OWNER))
            shadow = owners[-1].ctypes.data
        buffer.data, buffer.owners, buffer.bytes = a.ctypes.data, shadow, a.nbytes
        buffer.granule_shift, buffer.initialised = shift, initialised
    workers = os.cpu_count() or 1
    passes = np.zeros((workers, len(module.blocks)), np.uint64)
    fault, totals = Fault(), (c_uint64 * _TOTALS)()
    launch = _Launch(
        module.entry,
        buffers,
        len(arguments),
        tuple(grid),
        tuple(threadgroup),
        seed,
        workers,
        len(module.sites) + 1,
        len(module.blocks),
        passes.ctypes.data if count else None,
        ctypes.pointer(fault),
        ctypes.pointer(totals),
    )
    runtime().sim_launch(ctypes.byref(launch))
    if fault.kind:
        named = [(a.name, a.array.nbytes, a.array.itemsize) for a in arguments]
        raise error(fault, module, named, grid, size)
    return owners, counters(list(totals), passes, module.blocks) if count else None


def _numpy_dtype(dtype: mx.Dtype) -> np.dtype:
    if dtype == mx.bfloat16:
        return np.dtype(np.uint16)
    return np.dtype(str(dtype).removeprefix("mlx.core.").replace("bool", "bool_"))


def _to_numpy(x: mx.array) -> np.ndarray:
    return np.asarray(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)


def _to_mlx(a: np.ndarray, dtype: mx.Dtype) -> mx.array:
    x = mx.array(a)
    return x.view(mx.bfloat16) if dtype == mx.bfloat16 else x
