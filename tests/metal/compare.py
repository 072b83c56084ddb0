"""What a kernel writes against what plain MLX computes."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu import kernels, twins
from sige_mlx.engine.gpu.calls import Attention, Call, Conv, Depthwise
from sige_mlx.engine.gpu.launch import Launch, Simulated


def assert_same(call: Call, bound: float, launch: Launch | None = None) -> None:
    """The kernel, in the shape of `launch`, writes what the twin computes: every array has the normalised mean squared
    error `bound` at most."""
    launch = launch or kernels.launch(call)
    assert launch is not None
    found, expected = Simulated().run(launch), twins.run(call)
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape and a.dtype == b.dtype
        x, y = _written(a, call), _written(b, call)
        error = ((x - y) ** 2).sum() / max((y**2).sum(), 1e-30)
        assert error <= bound or not x.size, f"array {i} of {len(found)}: {error:.2e}"


def _written(a: mx.array, call: Call) -> np.ndarray:
    """The part of an array that a call writes: rows that fill up a list are anything."""
    values = np.asarray(a.astype(mx.float32), np.float64)
    tiles = None
    if isinstance(call, Conv | Depthwise):
        tiles = call.epilogue.out.list
    elif isinstance(call, Attention):
        tiles = call.out.list
    return values if tiles is None else values[np.asarray(tiles)[:, 0] >= 0]
