"""The arena: arrays that live at the same time never share bytes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.engine.native.arena import ALIGNMENT, Lifetime, plan
from sige_mlx.engine.native.runner import Binding, Runner
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.graph.plan import Plan
from sige_mlx.graph.program import Kind, Program
from sige_mlx.graph.trace import trace
from tests.graph.access import access
from tests.graph.networks import RandomUNet, Spec, masks, specs


@st.composite
def lifetimes(draw: st.DrawFn) -> Lifetime:
    first = draw(st.integers(0, 20))
    return Lifetime(draw(st.integers(0, 1000)), first, first + draw(st.integers(0, 8)))


@given(st.lists(lifetimes(), max_size=30))
def test_arrays_alive_together_do_not_overlap(lives: list[Lifetime]) -> None:
    offsets, size = plan(lives)
    assert len(offsets) == len(lives)
    for offset, life in zip(offsets, lives, strict=True):
        assert offset % ALIGNMENT == 0 and offset >= 0 and offset + life.nbytes <= size
    for (a, one), (b, other) in itertools.combinations(zip(offsets, lives, strict=True), 2):
        if one.first <= other.last and other.first <= one.last:
            assert a + one.nbytes <= b or b + other.nbytes <= a


@given(st.lists(lifetimes(), max_size=30))
def test_the_block_is_no_larger_than_all_arrays_together(lives: list[Lifetime]) -> None:
    rounded = [-(-life.nbytes // ALIGNMENT) * ALIGNMENT for life in lives]
    alive = [
        sum(n for n, life in zip(rounded, lives, strict=True) if life.first <= op <= life.last) for op in range(30)
    ]
    assert max(alive) <= plan(lives)[1] <= sum(rounded)


def test_arrays_that_follow_one_another_share_bytes() -> None:
    assert plan([Lifetime(100, 0, 1), Lifetime(90, 2, 3), Lifetime(80, 4, 5)]) == ([0, 0, 0], 128)


def test_nothing_takes_nothing() -> None:
    assert plan([]) == ([], 0)


def assert_nothing_alive_is_overwritten(program: Program, offsets: dict[int, int]) -> None:
    """Plays the program: a byte belongs to the array written last, and a read must find its own array there."""
    holder: dict[int, int] = {}
    slots = program.slots
    for op in program.ops:
        touched = access(program, op)
        for slot in touched.reads:
            if slots[slot].kind is Kind.SCRATCH:
                start = offsets[slot] // 4
                assert all(holder[i] == slot for i in range(start, start + slots[slot].nbytes // 4, 16))
        for slot in touched.writes:
            if slots[slot].kind is Kind.SCRATCH:
                start = offsets[slot] // 4
                holder.update(dict.fromkeys(range(start, start + slots[slot].nbytes // 4, 16), slot))


@given(st.data(), specs(), st.booleans())
def test_programs_find_what_they_wrote(data: st.DataObject, spec: Spec, everywhere: bool) -> None:
    model = RandomUNet(spec)
    network = Plan(trace(model, model.inputs()), threshold=8)
    edit = network.edit(data.draw(masks(*network.image_size)), everywhere)
    shapes = {path: n.param_shapes[p] for n in network.graph.nodes for p, path in n.params.items()}
    weights = PackedWeights(network.fused, network.dense, lambda name: np.zeros(shapes[name], np.float32))
    runner = Runner(1)
    for template, tiles, program in (
        (network.dense, None, network.dense),
        (edit.template, edit.tiling, edit.program),
    ):
        offsets, _ = Binding(template, runner, weights).offsets(tiles)
        assert_nothing_alive_is_overwritten(program, offsets)
