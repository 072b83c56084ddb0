"""What GPU engines have in memory stays wired while they live, and no longer."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu import executor, wired
from sige_mlx.engine.gpu.launch import Metal, use
from sige_mlx.engine.gpu.ops import Call
from sige_mlx.engine.gpu.wired import Wired
from sige_mlx.models.ddpm import DDPMUNet
from tests.engine.compare import edited, image
from tests.tiny import CONFIG

MOST = 11 * 2**30
MARGIN = 2**18
"""As small as the network is."""


class Memory:
    """MLX's wired limit of a Mac, as `mlx/backend/metal/allocator.cpp` keeps it."""

    def __init__(self) -> None:
        self.limit = self.changes = 0

    def set(self, limit: int) -> int:
        if limit > MOST:
            raise ValueError("[metal::set_wired_limit] Setting a wired limit larger than the maximum working set size")
        self.changes += 1
        before, self.limit = self.limit, limit
        return before


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    fake = Memory()
    told = {"device_name": "Apple M1 Pro", "architecture": "applegpu_g13s", "max_recommended_working_set_size": MOST}
    monkeypatch.setattr(mx, "set_wired_limit", fake.set)
    monkeypatch.setattr(mx, "device_info", {mx.gpu: told}.__getitem__)
    monkeypatch.setattr(wired, "wired", Wired())
    monkeypatch.setattr(wired, "MARGIN", MARGIN)
    monkeypatch.setattr(executor, "wired", wired.wired)
    monkeypatch.setattr(Call, "launch", lambda self, blocking=None: None)
    monkeypatch.setattr(mx, "compile", lambda function: function)
    with use(Metal):
        yield fake


class Owner:
    pass


def test_an_engine_wires_its_weights_and_recordings(memory: Memory) -> None:
    engine = Engine(DDPMUNet(CONFIG), "gpu")
    weights = engine.executor.parameters.nbytes
    assert memory.limit == weights + weights // 4 + MARGIN
    inputs = image(engine)
    for step in range(20):
        engine.record(step, **inputs)
        kept = weights + engine.recordings.nbytes
        assert kept + MARGIN // 2 <= memory.limit <= 2 * (kept + kept // 4 + MARGIN)
    assert memory.changes < 12
    mask = np.eye(*engine.image_size, dtype=np.bool_)
    before = memory.limit
    mx.eval(engine.edit(engine.prepare(mask), 0, **edited(inputs, mask)))
    assert memory.limit == before
    del engine
    assert memory.limit == 0


def test_the_last_engine_gives_it_back(memory: Memory) -> None:
    memory.limit = 1000  # set by somebody else
    first, second = (Engine(DDPMUNet(CONFIG), "gpu") for _ in range(2))
    both = memory.limit
    assert both > 1000
    del first
    assert 1000 < memory.limit < both
    del second
    assert memory.limit == 1000


def test_an_exception_gives_it_back(memory: Memory) -> None:
    def fails() -> None:
        engine = Engine(DDPMUNet(CONFIG), "gpu")
        engine.record(**image(engine))
        assert memory.limit
        raise RuntimeError("[METAL] Command buffer execution failed")

    with pytest.raises(RuntimeError):
        fails()
    assert memory.limit == 0


def test_no_more_than_metal_recommends(memory: Memory) -> None:
    shared, owner = Wired(), Owner()
    shared.keep(owner, MOST)
    assert memory.limit == MOST * 3 // 4


def test_what_is_needed_no_more_is_given_back(memory: Memory) -> None:
    shared, owner, other = Wired(), Owner(), Owner()
    shared.keep(owner, 2**30)
    shared.keep(owner, 2**28)
    assert memory.limit == 2**28 * 5 // 4 + MARGIN
    shared.keep(other, 2**28)
    del owner
    assert memory.limit == 2**28 * 5 // 4 + MARGIN
    del other
    assert memory.limit == 0


def test_what_others_need_is_no_less(memory: Memory) -> None:
    memory.limit = 5 * 2**30
    shared, owner = Wired(), Owner()
    shared.keep(owner, 2**30)
    assert memory.limit == 5 * 2**30
    memory.set(0)
    shared.keep(owner, 6 * 2**30)
    assert memory.limit == 6 * 2**30 * 5 // 4 + MARGIN
    memory.set(7 * 2**30)  # by somebody else, while the owner lives
    del owner
    assert memory.limit == 7 * 2**30


@pytest.mark.parametrize("missing", ["set_wired_limit", "device_info", "clear_cache"])
def test_where_there_is_no_such_limit(missing: str, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mx, missing)
    shared, owner = Wired(), Owner()
    shared.keep(owner, 1)
    del owner
    assert memory.limit == 0


@pytest.mark.parametrize("raised", [RuntimeError("[metal::Device] no"), ValueError("too much"), MemoryError()])
def test_a_limit_that_is_refused_is_no_obstacle(
    raised: Exception, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(limit: int) -> int:
        raise raised

    monkeypatch.setattr(mx, "set_wired_limit", refuses)
    engine = Engine(DDPMUNet(CONFIG), "gpu")
    engine.record(**image(engine))


def test_another_device_wires_nothing(memory: Memory) -> None:
    with use(Simulated):
        engine = Engine(DDPMUNet(CONFIG), "gpu")
    assert memory.limit == 0 and engine.executor.parameters.nbytes
