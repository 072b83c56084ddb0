"""What a kernel writes against what plain MLX computes on the processor. Kernels run on the model of Metal, or with
SIGE_METAL=gpu on this machine's GPU."""

from __future__ import annotations

import os

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine.gpu.launch import Launch, device, virtual_gpu
from sige_mlx.engine.gpu.ops import Call
from sige_mlx.engine.gpu.trust import difference


def assert_same(call: Call, bound: float, launch: Launch | None = None, order: int = 0) -> None:
    """The kernel, in the shape of `launch`, writes what the twin computes: every array has the normalised mean squared
    error `bound` at most. `order` picks one of threads, on the model."""
    launch = launch or call.launch()
    assert launch is not None
    on_gpu = os.environ.get("SIGE_METAL") == "gpu"
    if on_gpu and (virtual := virtual_gpu()):
        pytest.skip(virtual)
    where = device() if on_gpu else Simulated(seed=order)
    found = where.run(launch)
    with mx.stream(mx.cpu):
        expected = call.by_mlx()
    assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in expected]
    error = difference(call, found, expected)
    assert error <= bound, f"{error:.2e}"
