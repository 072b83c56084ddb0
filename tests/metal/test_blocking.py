"""Which kernel convolves, and by which tiles."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY
from sige_mlx.engine.gpu.ops import Conv
from sige_mlx.engine.gpu.ops.blocking import Blocking, NarrowBlocking, blocking_of
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Domain, Plane, Source


def call(c_out: int, listed: bool = False, sums: bool = False, phase_shift: int | None = None, k: int = 3) -> Conv:
    """Of 24 channels on 40x64 pixels, half as many where phased."""
    rows = mx.array(np.array([(0, 1, 1), (0, 4, 7)], np.int32))
    side = 1 if phase_shift is None else 2
    x = Plane(1, 40 // side, 64 // side, 24, 4, mx.zeros((1, 40 // side, 64 // side, 24), mx.float16))
    out = Domain(1, 40, 64, 4, rows if listed else None)
    weight = mx.zeros((1 if phase_shift is None else 4, 3 * k * k, 4, 8, 8), mx.float16)
    return Conv(Epilogue(out, c_out, sums=sums), weight, (Source(x, k, k, 1, 1, 1),), phase_shift)


@pytest.mark.parametrize("c_out", [1, 3, 4])
def test_few_channels_of_a_whole_plane_come_in_large_tiles(c_out: int) -> None:
    blocking = blocking_of(call(c_out))
    assert isinstance(blocking, NarrowBlocking) and (blocking.columns, blocking.tile, blocking.tiles) == (c_out, 16, 1)
    launch = call(c_out).launch()
    assert launch is not None and launch.groups == (1, 3 * 4, 1)
    assert dict(launch.kernel.defines)["NARROW"] == c_out


@pytest.mark.parametrize("options", [{"listed": True}, {"sums": True}])
def test_tiles_that_are_seen_stay_what_they_are(options: dict[str, bool]) -> None:
    blocking = blocking_of(call(3, **options))
    assert isinstance(blocking, NarrowBlocking) and blocking.tile == 4


def test_matrices_multiply_all_else() -> None:
    for other in (call(5), call(64), call(3, phase_shift=1, k=2)):
        assert isinstance(blocking_of(other), Blocking)


def test_windows_that_do_not_fit_are_refused() -> None:
    assert isinstance(blocking_of(call(3, k=7)), Blocking | NarrowBlocking)
    assert blocking_of(call(3, k=8)) is None  # more taps than the kernels have a table for


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_every_blocking_fits_into_threadgroup_memory(k: int, listed: bool) -> None:
    blocking = blocking_of(call(3, listed, k=k))
    assert blocking is not None and blocking.memory(2) <= THREADGROUP_MEMORY
