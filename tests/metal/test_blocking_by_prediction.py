"""Which blocking is fastest is found by a rough sum (`ops/cost.py`), for it must be found in microseconds;
here the time model, which counts what kernels do, is asked too."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from benchmarks.prediction import expected, plan, traffic
from benchmarks.prediction.counting import Counting
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.engine.gpu.ops import Conv
from sige_mlx.engine.gpu.ops.blocking import AnyBlocking, blockings_of
from sige_mlx.engine.gpu.ops.cost import blocking_of
from sige_mlx.graph.lowered import Lowered

EVERY = 7
"""Of the network's different convolutions so many are left out for one that is tried."""


def convolutions(model: str) -> Iterator[Conv]:
    """The different ones of an edit of 1.2 %."""
    network = zoo.network(model)
    lowered = Lowered.of(network.model, network.edit)
    tiling = lowered.tiling(blob_mask(lowered.image_size, 1.2, network.edit.dilation, 0))
    seen = set()
    for c in plan.edit(lowered, tiling):
        if isinstance(c.call, Conv):
            out = c.call.epilogue.out
            key = (out.h, out.list is None, c.call.epilogue.c_out, tuple((s.kh, s.x.c) for s in c.call.sources))
            if key not in seen:
                yield c.call
            seen.add(key)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ddpm-church-256", "gaugan-cityscapes"])
def test_chosen_blockings_are_nearly_the_best(model: str) -> None:
    counting = Counting()

    def milliseconds(call: Conv, blocking: AnyBlocking) -> float:
        launch = call.launch(blocking)
        assert launch is not None
        (counters,) = counting.of([launch])
        return expected.of_launch(launch, traffic.moved(call), counters, math.prod(launch.groups)).ms

    chosen, best = 0.0, 0.0
    for call in [*convolutions(model)][::EVERY]:
        usual = blocking_of(call)
        assert usual is not None
        times = {blocking: milliseconds(call, blocking) for blocking in blockings_of(call)}
        assert times[usual] <= 1.5 * min(times.values()), (call.epilogue, times)
        chosen, best = chosen + times[usual], best + min(times.values())
    assert chosen <= 1.1 * best
