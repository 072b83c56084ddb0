"""What a kernel writes against what plain MLX computes."""

from __future__ import annotations

from sige_mlx.engine.gpu import kernels, twins
from sige_mlx.engine.gpu.calls import Call
from sige_mlx.engine.gpu.launch import Launch, Simulated
from sige_mlx.engine.gpu.trust import difference


def assert_same(call: Call, bound: float, launch: Launch | None = None, order: int = 0) -> None:
    """The kernel, in the shape of `launch`, writes what the twin computes: every array has the normalised mean squared
    error `bound` at most. `order` picks one of threads."""
    launch = launch or kernels.launch(call)
    assert launch is not None
    found, expected = Simulated(seed=order).run(launch), twins.run(call)
    assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in expected]
    error = difference(call, found, expected)
    assert error <= bound, f"{error:.2e}"
