"""Which kernel convolves, and by which tiles."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from metal import sim
from sige_mlx.engine.gpu.chip import SIMD, resident
from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY
from sige_mlx.engine.gpu.ops import Conv, Total
from sige_mlx.engine.gpu.ops.blocking import Blocking, NarrowBlocking, WinogradBlocking, blockings_of
from sige_mlx.engine.gpu.ops.cost import blocking_of, shares_of
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Domain, Plane, Source

H, W = 320, 512


def call(c_out: int, listed: int = 0, sums: bool = False, phase_shift: int | None = None, k: int = 3) -> Conv:
    """Of 24 channels on so many pixels, half as many where phased; of a whole plane, or so many tiles."""
    rows = mx.array(np.array([(0, i // 128, i % 128) for i in range(listed)], np.int32)) if listed else None
    h, w = (H, W) if phase_shift is None else (H // 2, W // 2)
    x = Plane(1, h, w, 24, 4, mx.zeros((1, h, w, 24), mx.float16))
    out = Domain(1, H, W, 4, rows)
    weight = mx.zeros((1 if phase_shift is None else 4, 3 * k * k, 4, 8, 8), mx.float16)
    return Conv(Epilogue(out, c_out, sums=sums), weight, (Source(x, k, k, 1, 1, 1),), phase_shift)


@pytest.mark.parametrize("c_out", [1, 3, 4, 6, 8])
def test_few_channels_of_a_whole_plane_come_in_large_tiles(c_out: int) -> None:
    blocking = blocking_of(call(c_out))
    assert isinstance(blocking, NarrowBlocking) and (blocking.columns, blocking.tile, blocking.tiles) == (c_out, 16, 1)
    launch = call(c_out).launch()
    assert launch is not None and launch.groups == (1, H * W // 256, 1)
    assert dict(launch.kernel.defines)["NARROW"] == c_out


@pytest.mark.parametrize("options", [{"listed": 10_000}, {"sums": True}])
def test_tiles_that_are_seen_stay_what_they_are(options: dict[str, bool]) -> None:
    blocking = blocking_of(call(3, **options))
    assert isinstance(blocking, NarrowBlocking) and blocking.tile == 4


def test_few_tiles_come_in_small_threadgroups() -> None:
    """Where most cores would have nothing to do: half a panel of output channels, a tile or two."""
    for c_out in (3, 64):
        blocking = blocking_of(call(c_out, listed=4))
        assert isinstance(blocking, Blocking) and blocking.tm * blocking.tn < 16


def test_matrices_multiply_all_else() -> None:
    for other in (call(9), call(64), call(3, phase_shift=1, k=2)):
        assert isinstance(blocking_of(other), Blocking)


def test_windows_that_do_not_fit_are_refused() -> None:
    assert isinstance(blocking_of(call(3, k=7)), Blocking | NarrowBlocking)
    assert blocking_of(call(3, k=8)) is None  # more taps than the kernels have a table for


@pytest.mark.parametrize("listed", [2, 0])
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_every_blocking_fits_into_threadgroup_memory(k: int, listed: int) -> None:
    blocking = blocking_of(call(3, listed, k=k))
    assert blocking is not None and blocking.memory(2) <= THREADGROUP_MEMORY


def deep(tiles: int, c: int = 512) -> Conv:
    """A convolution of many channels for few tiles of a small plane."""
    x = Plane(1, 16, 16, c, 4, mx.zeros((1, 16, 16, c), mx.float16))
    rows = mx.array(np.array([(0, i // 4, i % 4) for i in range(tiles)], np.int32))
    weight = mx.zeros((1, 9 * c // 8, 4, 8, 8), mx.float16)
    return Conv(Epilogue(Domain(1, 16, 16, 4, rows), 32), weight, (Source(x, 3, 3, 1, 1, 1),))


def test_threadgroups_share_a_sum_where_they_are_few() -> None:
    few = deep(2)
    shares = shares_of(few)
    assert shares > 1
    (shared, total), whole = few.in_parts()
    assert isinstance(shared, Conv) and isinstance(total, Total) and whole == (few,)
    launch, last = shared.launch(), total.launch()
    assert launch is not None and last is not None
    assert launch.groups[2] == shares and launch.outputs == [((2, 4, 4, shares * 32), mx.float32)]
    assert last.inputs[last.kernel.inputs.index("shares")] is total.shares and total.count == shares


def test_nobody_shares_what_would_be_no_faster() -> None:
    assert shares_of(deep(2, c=32)) == 1  # one step of the loop over channels
    assert shares_of(call(64)) == 1  # threadgroups enough


def test_two_threadgroups_of_eight_tiles_share_a_core() -> None:
    small, large = WinogradBlocking(8), WinogradBlocking(16)
    assert small.memory(2) <= 16384 < large.memory(2) <= THREADGROUP_MEMORY
    held = [resident(b.memory(2), b.threads // SIMD, b.registers) for b in (small, large)]
    assert held == [2, 1]


def test_memory_is_what_a_kernel_declares(model_of_metal: None) -> None:
    for b in blockings_of(call(3, listed=2)):
        launch = call(3, listed=2).launch(b)
        assert launch is not None
        ran = sim.simulate(launch.compiled(), **launch.arguments(), count=True, only=[0])
        assert 0 <= ran.counters.threadgroup_memory - b.memory(2) <= 16
