"""What a prediction expects beyond the bounds: threadgroups that share a core, loads that are waited for, buffers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import mlx.core as mx
import pytest

from benchmarks.prediction import expected
from benchmarks.prediction.expected import Expected
from benchmarks.prediction.predict import command_buffers
from metal.sim import Counters
from sige_mlx.engine.gpu import chip
from sige_mlx.engine.gpu.chip import resident
from sige_mlx.engine.gpu.launch import Kernel, Launch

NOTHING = Counters(*(0 for _ in fields(Counters)))
ONE = replace(NOTHING, threadgroups=1)
CYCLE = 1e3 / chip.CLOCK


@dataclass(frozen=True)
class Shape:
    registers: int = 40
    fmas_a_wait: int = 0


def launch(shape: Shape | None = None, inputs: tuple[mx.array, ...] = (), threads: int = 128) -> Launch:
    return Launch(Kernel("conv", (), (), (), ()), inputs, (1, 1, 1), threads, (), shape)


def of(counters: Counters, threadgroups: int, shape: Shape | None = None, nbytes: int = 0) -> Expected:
    return expected.of_launch(launch(shape), nbytes, counters, threadgroups)


def test_how_many_threadgroups_share_a_core() -> None:
    assert resident(32_000, 4, 40) == 1  # by threadgroup memory: 60 KB
    assert resident(16_000, 4, 40) == 3
    assert resident(0, 4, 104) == 16 // 4  # by registers: 208 KB are those of 1024 threads, as published
    assert resident(0, 8, 112) == 1
    assert resident(0, 8, 1000) == 1  # a core can always run one


def test_few_simdgroups_issue_slowly() -> None:
    """Four of them take nearly three times as long as twenty-four for the same work, as was measured."""
    work = replace(ONE, integer_operations=32 * 1000)
    few, many = of(work, 16), of(work, 6 * 16)
    assert few.issue == pytest.approx(1000 * 2.86 / 4 * CYCLE)
    assert many.issue == pytest.approx(6 * 1000 * 1.02 / 4 * CYCLE)
    assert (few.resident, many.resident) == (1, 6)


def test_waves_follow_one_another() -> None:
    """Of threadgroups that fit only one at a time, each has the latencies of its own."""
    work = replace(ONE, threadgroup_memory=32_000, threadgroup_barriers=10)
    assert of(work, 3 * 16).stalls == pytest.approx(3 * of(work, 16).stalls)
    assert of(replace(work, threadgroup_memory=16_000), 3 * 16).stalls < 2 * of(work, 16).stalls


def test_loads_are_waited_for_unless_there_is_something_to_multiply() -> None:
    products = 4 * 16 * 100  # of four simdgroups, by 16
    work = replace(ONE, simdgroup_multiplies=products, fmas=512 * products)
    chain = chip.CHAIN * chip.LATENCY
    waiting, asking_early, never = (of(work, 16, Shape(fmas_a_wait=512 * n)) for n in (16, 32, 10**6))
    assert never.stalls == pytest.approx(chain * CYCLE)
    assert waiting.stalls == pytest.approx((chain + 100 * (chip.LATENCY - 16 * 20)) * CYCLE)
    assert asking_early.stalls == pytest.approx(chain * CYCLE)  # 50 waits in the time of 100 steps
    assert of(work, 32, Shape(fmas_a_wait=512 * 16)).stalls < waiting.stalls  # the other has something to do


def test_memory_is_a_core_s_or_that_of_all() -> None:
    moved = replace(ONE, device_read_transactions=1000, device_bytes_read=128_000)
    assert of(moved, 16).memory == pytest.approx(128_000 / 32 * CYCLE)
    assert of(replace(moved, device_bytes_read=64_000), 16).memory == pytest.approx(64_000 / 32 * CYCLE)
    assert of(ONE, 16, nbytes=10**6).memory == pytest.approx(1e3 * 1e6 / 180e9)


def test_command_buffers_end_by_launches_and_by_bytes() -> None:
    small, large = mx.zeros(8), mx.zeros((30, 2**20), mx.uint8)
    assert command_buffers([]) == 0
    assert command_buffers([launch(inputs=(small,))] * 81) == 3
    assert command_buffers([launch(inputs=(large,))] * 3) == 1  # what is there once is counted once
    others = [launch(inputs=(mx.zeros((30, 2**20), mx.uint8),)) for _ in range(4)]
    assert command_buffers(others) == 2
