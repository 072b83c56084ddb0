"""Kernels in a few lines: a body, its arrays, and one output."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from metal.sim import Run, SimError, simulate

MATRICES = "#include <metal_simdgroup_matrix>\nusing namespace metal;\n"


def run(
    body: str,
    *inputs: Any,
    shape: tuple[int, ...] = (32,),
    dtype: mx.Dtype = mx.float32,
    threads: int = 32,
    grid: tuple[int, int, int] | None = None,
    header: str = MATRICES,
    options: dict[str, Any] | None = None,
    **call: Any,
) -> Run:
    """Runs `body` in one threadgroup of `threads` unless a grid is given. Inputs are called x, y, z, the output out."""
    names = ["x", "y", "z", "w"][: len(inputs)]
    kernel = mx.fast.metal_kernel(
        name="test", input_names=names, output_names=["out"], source=body, header=header, **(options or {})
    )
    return simulate(
        kernel,
        inputs=inputs,
        grid=grid or (threads, 1, 1),
        threadgroup=call.pop("threadgroup", (threads, 1, 1)),
        output_shapes=[shape],
        output_dtypes=[dtype],
        **call,
    )


def result(*args: Any, **kwargs: Any) -> np.ndarray:
    """The output of `run`, as float32 if it is of a smaller floating type."""
    out = run(*args, **kwargs).outputs[0]
    return np.array(out.astype(mx.float32) if out.dtype in (mx.float16, mx.bfloat16) else out)


def refused(match: str, *args: Any, **kwargs: Any) -> str:
    """Asserts that `run` raises `SimError` with this in its message, and names the kernel; returns the message."""
    with pytest.raises(SimError, match=match) as raised:
        run(*args, **kwargs)
    message = str(raised.value)
    assert message.startswith("kernel custom_kernel_test"), message
    return message
