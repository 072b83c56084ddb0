"""Memory for recordings: pages are given back, or again to what takes the place of what had them."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.engine import Engine
from sige_mlx.engine.files import Blocks, MappedFile
from tests.engine.compare import edited, image
from tests.graph.networks import RandomUNet, Spec


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


def test_a_block_that_nobody_has_is_given_to_the_next_of_its_kind(blocks: Blocks) -> None:
    block = blocks.new(5000, "a")
    block[:] = 7
    address = block.ctypes.data
    with blocks.reused():
        part = np.ndarray(8, np.uint8, block, 64)
        del block
        assert blocks.new(5000, "a").ctypes.data != address  # somebody has a part of it
        del part
        assert blocks.new(5000, "a").ctypes.data == address
        assert blocks.new(5000, "b")[:].sum() == 0


def test_blocks_are_not_kept_for_nobody(blocks: Blocks) -> None:
    block = blocks.new(5000, "a")
    block[:] = 7
    del block
    assert blocks.new(5000, "a")[0] == 0
    with blocks.reused():
        block = blocks.new(5000, "a")
        block[:] = 7
        del block
    assert blocks.new(5000, "a")[0] == 0


def test_a_step_that_is_recorded_anew_keeps_its_pages() -> None:
    engine = Engine(RandomUNet(Spec(16, 16, 3, (("block", 8), ("down", 12)), norm_out=True, time=False)))
    inputs = image(engine)

    def address(step: int) -> int:
        return int(engine.recordings.of(step).record.block.ctypes.data)

    engine.record(0, **inputs)
    first = address(0)
    engine.record(1, **inputs)
    assert address(1) != first
    engine.record(0, **inputs)
    gc.collect()
    assert address(0) == first


def test_bytes_that_nobody_expected_are_brought_in_when_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = MappedFile(np.split(np.arange(200, dtype=np.uint8), [70]), 200, tmp_path)
    brought: list[object] = []
    monkeypatch.setattr(MappedFile, "_bring_in", lambda self, ranges: brought.append(ranges))
    file.need([(0, 8)])
    file.release()
    file.expect([(8, 8)])
    file.need([(8, 8)])
    file.release()
    file.need([(16, 8)])
    assert [ranges for ranges in brought if ranges != [(8, 8)]] == [[(0, 8)], [(16, 8)]]
    assert np.array_equal(file.data, np.arange(200))


def test_undoing_on_the_disk_brings_in_all_that_it_swaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    engine = Engine(RandomUNet(Spec(32, 32, 3, (("block", 8), ("down", 12)), norm_out=True, time=False)))
    engine.recordings.budget, inputs = 0, image(engine)
    engine.record(**inputs)
    mask = np.zeros((32, 32), np.bool_)
    mask[9:14, 11:17] = mask[25:28, 2:4] = True
    _, change = engine.commit(engine.prepare(mask), **edited(inputs, mask))
    block = engine.recordings.of(0).record.block
    before = block.copy()
    brought: list[tuple[int, int]] = []
    monkeypatch.setattr(MappedFile, "need", lambda self, ranges: brought.extend(ranges))
    engine.swap(0, change)
    held = np.zeros(len(block), np.bool_)
    for start, size in brought:
        held[start : start + size] = True
    assert (before != block).any() and held[before != block].all()
    assert held.sum() < len(block) / 2
