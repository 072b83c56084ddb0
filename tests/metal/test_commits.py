"""Commits on the GPU: what the reference means by them, and no trace of those that were undone."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.ops import Call
from sige_mlx.graph.policy import STATISTICS, Output, Statistics
from tests.engine.compare import edited, image
from tests.engine.rounding import exact
from tests.engine.test_growth import GROWING, SPOT, covered, deep, grown_edit
from tests.graph.networks import RandomUNet, Spec, masks, specs
from tests.metal.by_mlx import by_mlx
from tests.policies import OUTPUTS, policy

pytestmark = pytest.mark.usefixtures("model_of_metal")
SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)


@settings(max_examples=6)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.sampled_from(STATISTICS))
def test_edits_after_commits_are_right_to_rounding(
    data: st.DataObject, spec: Spec, output: Output, statistics: Statistics
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "launch", by_mlx)
        of = policy(8, output, statistics)
        engine = Engine(RandomUNet(spec), "gpu", of, precision="float32")
        reference = Engine(RandomUNet(spec), "reference", of)
        inputs = current = image(engine)
        engine.record(**inputs)
        commits = []
        for seed in range(3):
            mask = data.draw(masks(spec.height, spec.width))
            current = edited(current, mask, seed + 2)
            _, expected = exact(reference, inputs, current, mask, commits=commits)
            expected.assert_near(engine.commit(engine.prepare(mask), **current)[0], f"commit {seed}")
            commits.append((current, mask))


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_undone_commits_leave_no_trace(output: Output, statistics: Statistics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "launch", by_mlx)
    engine = Engine(RandomUNet(SPEC), "gpu", policy(8, output, statistics))
    inputs = image(engine)
    engine.record(**inputs)
    assert engine.recordings.nbytes == engine.recordings.step_nbytes()
    spot = np.zeros((16, 24), np.bool_)
    spot[3:7, 10:15] = True
    prepared, changed = engine.prepare(spot), edited(inputs, spot)
    probe = engine.prepare(np.roll(spot, 3, 1))
    before = engine.edit(probe, **inputs)
    result, change = engine.commit(prepared, **changed)
    assert 0 < change.nbytes < engine.recordings.step_nbytes()
    after = engine.edit(probe, **changed)
    redo = engine.swap(0, change)
    assert mx.array_equal(engine.edit(probe, **inputs), before) and not mx.array_equal(before, after)
    assert mx.array_equal(engine.edit(prepared, **changed), result)
    engine.swap(0, redo)
    assert mx.array_equal(engine.edit(probe, **changed), after)
    assert engine.recordings.nbytes == engine.recordings.step_nbytes()


def test_tiles_grow_as_the_reference_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "launch", by_mlx)
    of = replace(GROWING, grow=0.01)
    gpu, reference = (
        grown_edit(Engine(deep(), device, of, precision="float32"), SPOT) for device in ("gpu", "reference")
    )
    assert covered(gpu[0]) != covered(gpu[1]) == covered(reference[1])
    np.testing.assert_allclose(gpu[2], reference[2], atol=1e-5)
