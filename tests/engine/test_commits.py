"""Commits carry a recording over to the edited inputs, and swapping changes undoes them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import Output
from tests.engine.compare import EVERYWHERE, edited, image
from tests.engine.rounding import exact
from tests.graph.networks import RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)


@pytest.mark.parametrize("device", EVERYWHERE)
@settings(max_examples=8)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.booleans())
def test_undone_commits_leave_no_trace(
    device: str, data: st.DataObject, spec: Spec, output: Output, fresh: bool
) -> None:
    """Whatever is committed and swapped back, edits give the bits that they gave before; so do those done again."""
    engine = Engine(RandomUNet(spec), device, policy(8, output, fresh))
    inputs = image(engine)
    engine.record(**inputs)
    one, other, probe = (data.draw(masks(spec.height, spec.width)) for _ in range(3))

    def probed(base: dict[str, np.ndarray]) -> mx.array:
        return engine.edit(engine.prepare(probe), **edited(base, probe, 7))

    first = edited(inputs, one, 2)
    second = edited(first, other, 3)
    before = probed(inputs)
    result, change = engine.commit(engine.prepare(one), **first)
    after_one = probed(first)
    _, later = engine.commit(engine.prepare(other), **second)
    after_two = probed(second)
    with pytest.raises(SigeError, match="does not fit step 0"):
        engine.swap(0, change)
    redo_later = engine.swap(0, later)
    assert mx.array_equal(probed(first), after_one)
    redo = engine.swap(0, change)
    assert mx.array_equal(probed(inputs), before)
    assert mx.array_equal(engine.edit(engine.prepare(one), **first), result)
    engine.swap(0, redo), engine.swap(0, redo_later)
    assert mx.array_equal(probed(second), after_two)


@settings(max_examples=8)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.booleans())
def test_edits_after_commits_are_right_to_rounding(
    data: st.DataObject, spec: Spec, output: Output, fresh: bool
) -> None:
    """The native engine and the reference compute what commits mean, one after the other and an edit after them."""
    engines = [Engine(RandomUNet(spec), device, policy(8, output, fresh)) for device in EVERYWHERE]
    inputs = current = image(engines[0])
    for engine in engines:
        engine.record(**inputs)
    commits = []
    for seed in range(3):
        mask = data.draw(masks(spec.height, spec.width))
        current = edited(current, mask, seed + 2)
        _, expected = exact(engines[1], inputs, current, mask, commits=commits)
        for engine in engines:
            expected.assert_near(engine.commit(engine.prepare(mask), **current)[0], f"{engine.device}, commit {seed}")
        commits.append((current, mask))
