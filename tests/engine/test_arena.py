"""The arena: arrays that live at the same time never share bytes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.engine.native.arena import ALIGNMENT, Lifetime, placed
from sige_mlx.engine.native.compiled import Bound, Compiled
from sige_mlx.engine.native.pool import Pool
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.graph.program import Counts, Kind, Program
from tests.graph.access import access
from tests.graph.networks import RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy


@st.composite
def lifetimes(draw: st.DrawFn) -> Lifetime:
    first = draw(st.integers(0, 20))
    return Lifetime(draw(st.integers(0, 1000)), first, first + draw(st.integers(0, 8)))


@given(st.lists(lifetimes(), max_size=30))
def test_arrays_alive_together_do_not_overlap(lives: list[Lifetime]) -> None:
    offsets, size = placed(lives)
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
    assert max(alive) <= placed(lives)[1] <= sum(rounded)


def test_arrays_that_follow_one_another_share_bytes() -> None:
    assert placed([Lifetime(100, 0, 1), Lifetime(90, 2, 3), Lifetime(80, 4, 5)]) == ([0, 0, 0], 128)


def test_nothing_takes_nothing() -> None:
    assert placed([]) == ([], 0)


def assert_nothing_alive_is_overwritten(program: Program, bound: Bound, counts: Counts) -> None:
    """Plays the program: a byte belongs to the array written last, and a read must find its own array there."""
    holder: dict[int, int] = {}
    kinds = [b.kind for b in program.buffers]
    sizes = [b.nbytes * (1 if b.tiles is None else counts[b.tiles]) for b in program.buffers]
    offsets = dict(zip(*bound.scratch, strict=True))
    for op in program.ops:
        touched = access(program, op)
        for slot in touched.reads:
            if kinds[slot] is Kind.SCRATCH:
                start = offsets[slot] // 4
                assert all(holder[i] == slot for i in range(start, start + sizes[slot] // 4, 16))
        for slot in touched.writes:
            if kinds[slot] is Kind.SCRATCH:
                start = offsets[slot] // 4
                holder.update(dict.fromkeys(range(start, start + sizes[slot] // 4, 16), slot))


@given(st.data(), specs(), st.sampled_from(OUTPUTS))
def test_programs_find_what_they_wrote(data: st.DataObject, spec: Spec, output: Output) -> None:
    lowered = Lowered.of(RandomUNet(spec), policy(8, output))
    tiling = lowered.tiling(data.draw(masks(*lowered.image_size)))
    shapes = {path: n.param_shapes[p] for n in lowered.graph.nodes for p, path in n.params.items()}
    weights = PackedWeights(lowered.groups, lowered.dense, lambda name: np.zeros(shapes[name], np.float32))
    pool = Pool(1)
    for program, tiles in ((lowered.dense, None), (lowered.edit, tiling)):
        bound = Compiled(program, pool, weights).bind(tiles)
        assert_nothing_alive_is_overwritten(program, bound, {} if tiles is None else tiles.counts)
