"""Runs a kernel of MLX's on this machine."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from .capture import Captured, capture
from .compile import compiled
from .counters import Counters
from .errors import SimError
from .launch import Argument, launch

MAX_THREADS = 1024


@dataclass(frozen=True)
class Run:
    """What a launch gave."""

    outputs: list[mx.array]
    unwritten: tuple[int, ...]
    """For every output, how many of its elements no thread wrote. On a Mac they hold anything; here NaN, or -1."""
    counted: Counters | None

    @property
    def counters(self) -> Counters:
        """Raises `SimError` unless the launch was run with `count=True`."""
        if self.counted is None:
            raise SimError("this launch was not counted: run it with count=True")
        return self.counted


def simulate(
    kernel: Any,
    *,
    inputs: Sequence[Any],
    template: Sequence[tuple[str, Any]] | None = None,
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
    output_shapes: Sequence[Sequence[int]],
    output_dtypes: Sequence[mx.Dtype],
    init_value: float | None = None,
    seed: int = 0,
    count: bool = False,
    only: Sequence[int] | None = None,
) -> Run:
    """Runs `kernel`, made by `mx.fast.metal_kernel`, as a Mac would, with the arguments of its call.

    `seed` picks the order in which threads, simdgroups and threadgroups run; 0 is the natural one. `count` compiles the
    kernel with counters, which makes it several times slower. `only` gives the numbers of the threadgroups to run, x
    before y before z; without it all are. Raises `SimError` for what Metal would refuse, and for accesses, races and
    barriers that are wrong.
    """
    arrays = [x if isinstance(x, mx.array) else mx.array(x) for x in inputs]
    if len(grid) != 3 or len(threadgroup) != 3 or min(*grid, *threadgroup) < 1:
        raise SimError(f"grid {grid} and threadgroup {threadgroup} must be three positive numbers each")
    call = {"grid": grid, "threadgroup": threadgroup, "output_shapes": output_shapes, "output_dtypes": output_dtypes}
    captured = capture(kernel, arrays, template, **call)
    size = [min(t, g) for t, g in zip(threadgroup, grid, strict=True)]  # MLX clamps a threadgroup to the grid
    if math.prod(size) > MAX_THREADS:
        raise SimError(f"kernel {captured.name}: threadgroups of {math.prod(size)} threads; Metal allows {MAX_THREADS}")
    module = compiled(captured, count)
    results = [_output(shape, dtype, init_value) for shape, dtype in zip(output_shapes, output_dtypes, strict=True)]
    arguments = [*_inputs(captured, arrays), *(Argument(a, output=True) for a in results)]
    initialised = init_value is not None
    written, counted = launch(module, arguments, grid, size, initialised=initialised, seed=seed, count=count, only=only)
    outputs = [_to_mlx(a, dtype) for a, dtype in zip(results, output_dtypes, strict=True)]
    return Run(outputs, tuple(a.size - n for a, n in zip(results, written, strict=True)), counted)


def compiling(
    kernel: Any, *, inputs: Sequence[mx.array], template: Any = None, count: bool = False, **call: Any
) -> Callable[[], object]:
    """A function that compiles `kernel` for `simulate` with the same arguments. Several may run at once, in threads."""
    return functools.partial(compiled, capture(kernel, inputs, template, **call), count)


def _inputs(kernel: Captured, arrays: Sequence[mx.array]) -> list[Argument]:
    """The inputs, each followed by what the kernel asks of its shape."""
    mx.eval(*arrays)
    arguments = []
    for x, (shape, strides, ndim) in zip(arrays, kernel.shape_infos, strict=True):
        a = _to_numpy(x)
        if kernel.row_contiguous:
            a = np.ascontiguousarray(a).reshape(x.shape)
        arguments.append(Argument(a))
        if x.ndim and shape:
            arguments.append(Argument(np.array(x.shape, np.int32)))
        if x.ndim and strides:
            arguments.append(Argument(np.array([s // a.itemsize for s in a.strides], np.int64)))
        if x.ndim and ndim:
            arguments.append(Argument(np.array(x.ndim, np.int32)))
    return arguments


def _output(shape: Sequence[int], dtype: mx.Dtype, value: float | None) -> np.ndarray:
    if value is not None:
        return np.array(_to_numpy(mx.full(tuple(shape), value, dtype=dtype)))
    poisoned = np.full(math.prod(shape) * dtype.size, 0xFF, np.uint8)
    return poisoned.view(_to_numpy(mx.zeros(1, dtype)).dtype).reshape(tuple(shape))


def _to_numpy(x: mx.array) -> np.ndarray:
    """The array's memory; bfloat16 as uint16."""
    return np.asarray(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)


def _to_mlx(a: np.ndarray, dtype: mx.Dtype) -> mx.array:
    x = mx.array(a)
    return x.view(mx.bfloat16) if dtype == mx.bfloat16 else x
