"""Commits carry a recording over to the edited inputs, and swapping changes undoes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.engine import Change, Codec, Engine
from sige_mlx.engine.native.record import CODECS, NativeRecord
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import STATISTICS, Output, Statistics
from tests.engine.compare import EVERYWHERE, edited, image, nmse
from tests.engine.rounding import exact
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)
SPOT = np.zeros((16, 24), np.bool_)
SPOT[4:7, 9:13] = True


@pytest.mark.parametrize("device", EVERYWHERE)
@settings(max_examples=8)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.sampled_from(STATISTICS))
def test_undone_commits_leave_no_trace(
    device: str, data: st.DataObject, spec: Spec, output: Output, statistics: Statistics
) -> None:
    """Whatever is committed and swapped back, edits give the bits that they gave before; so do those done again."""
    engine = Engine(RandomUNet(spec), device, policy(8, output, statistics))
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
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.sampled_from(STATISTICS))
def test_edits_after_commits_are_right_to_rounding(
    data: st.DataObject, spec: Spec, output: Output, statistics: Statistics
) -> None:
    """The native engine and the reference compute what commits mean, one after the other and an edit after them."""
    engines = [Engine(RandomUNet(spec), device, policy(8, output, statistics)) for device in EVERYWHERE]
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


def digest(engine: Engine) -> bytes:
    """All bytes of the record of the only step."""
    record: NativeRecord = engine.recordings.of(0).record
    return record.block.tobytes()


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=10)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.sampled_from(STATISTICS), st.booleans())
def test_any_sequence_leads_where_what_is_left_of_it_leads(
    codec: Codec, data: st.DataObject, spec: Spec, output: Output, statistics: Statistics, on_disk: bool
) -> None:
    """Commits that were undone and not done again might never have been, to the bit, in whatever form a record is."""
    engines = [Engine(RandomUNet(spec), policy=policy(8, output, statistics)) for _ in range(2)]
    for engine in engines:
        engine.recordings.codec = codec
    engines[0].recordings.budget = 0 if on_disk else None
    inputs = image(engines[0])
    engines[0].record(**inputs)
    done: list[tuple[dict[str, Any], Any, Change]] = []
    undone: list[tuple[dict[str, Any], Any, Change]] = []
    steps = st.lists(st.sampled_from(["commit", "commit", "undo", "redo", "edit"]), min_size=3, max_size=8)
    for seed, step in enumerate(data.draw(steps)):
        current = done[-1][0] if done else inputs
        if step in ("commit", "edit"):
            mask = data.draw(masks(spec.height, spec.width))
            prepared, changed = engines[0].prepare(mask), edited(current, mask, seed)
            if step == "edit":
                engines[0].edit(prepared, **changed)
            else:
                done.append((changed, mask, engines[0].commit(prepared, **changed)[1]))
                undone.clear()
        elif step == "undo" and done:
            changed, mask, change = done.pop()
            undone.append((changed, mask, engines[0].swap(0, change)))
        elif step == "redo" and undone:
            changed, mask, change = undone.pop()
            done.append((changed, mask, engines[0].swap(0, change)))
    engines[1].record(**inputs)
    for changed, mask, _ in done:
        engines[1].commit(engines[1].prepare(mask), **changed)
    assert digest(engines[0]) == digest(engines[1])
    assert [engine.recordings.nbytes for engine in engines] == [engine.recordings.step_nbytes() for engine in engines]


def without_norms() -> Net:
    layers = {"a": conv(3, 6), "b": conv(6, 9, 3, 2), "c": conv(9, 6), "d": conv(12, 3)}

    def forward(m: Any, x: Any) -> Any:
        a = m.a(x)
        c = m.c(nn.silu(m.b(nn.silu(a))))
        return m.d(nn.concat([nn.silu(nn.upsample_nearest(c)), a]))

    return Net((32, 40, 3), forward, **layers)


@pytest.mark.parametrize(("codec", "bound"), [("float32", 1e-12), ("float16", 1e-7), ("int8", 2e-5)])
@pytest.mark.parametrize("device", EVERYWHERE)
def test_without_norms_a_committed_record_is_that_of_the_new_image(device: str, codec: Codec, bound: float) -> None:
    """Wherever an edit's tiles cover all that it can change, which here is ten pixels around it."""
    engine, anew = (Engine(without_norms(), device, policy(8, "tiles")) for _ in range(2))
    for of in (engine, anew):
        of.recordings.codec = codec if device == "cpu" else "float32"
    current = image(engine)
    engine.record(**current)
    for seed, (top, left) in enumerate([(4, 4), (12, 20), (9, 11)]):
        changed = np.zeros((32, 40), np.bool_)
        changed[top : top + 3, left : left + 5] = True
        covered = np.zeros_like(changed)
        covered[max(top - 10, 0) : top + 13, max(left - 10, 0) : left + 15] = True
        current = edited(current, changed, seed)
        output, _ = engine.commit(engine.prepare(covered), **current)
        assert nmse(output, anew.record(**current)) <= bound
    probe = np.zeros((32, 40), np.bool_)
    probe[8:11, 9:19] = True
    results = [of.edit(of.prepare(probe), **edited(current, probe, 9)) for of in (engine, anew)]
    assert nmse(*results) <= bound


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("output", OUTPUTS)
def test_dense_edits_are_recorded_anew(device: str, output: Output) -> None:
    of = dataclasses.replace(policy(8, output), dense_from=0.0001)
    engine, anew = (Engine(RandomUNet(SPEC), device, of) for _ in range(2))
    inputs, prepared = image(engine), engine.prepare(SPOT)
    assert prepared.dense
    recorded = engine.record(**inputs)
    changed = edited(inputs, SPOT)
    expected = engine.edit(prepared, **changed)
    committed, change = engine.commit(prepared, **changed)
    assert mx.array_equal(committed, expected)
    nothing = engine.prepare(np.zeros((16, 24), np.bool_))
    assert mx.array_equal(engine.edit(nothing, **changed), committed)
    anew.record(**changed)
    tiles = dataclasses.replace(prepared, dense=False, bound=engine.executor.bind(prepared.tiling, prepared.statistics))
    again = edited(changed, SPOT, 5)
    others = dataclasses.replace(
        anew.prepare(SPOT), dense=False, bound=anew.executor.bind(prepared.tiling, prepared.statistics)
    )
    inside = prepared.tiling.at((16, 24)).pixels()[..., None]
    assert mx.array_equal(
        mx.where(inside, engine.edit(tiles, **again), 0), mx.where(inside, anew.edit(others, **again), 0)
    )
    assert engine.recordings.nbytes == anew.recordings.nbytes <= change.nbytes
    engine.swap(0, change)
    assert mx.array_equal(engine.edit(nothing, **inputs), recorded)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_nothing_is_committed_of_an_empty_edit(device: str) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy())
    inputs = image(engine)
    recorded = engine.record(**inputs)
    output, change = engine.commit(engine.prepare(np.zeros((16, 24), np.bool_)), **inputs)
    assert mx.array_equal(output, recorded) and change.nbytes == 0
    engine.swap(0, change)


def test_a_change_fits_one_recording() -> None:
    engine = Engine(RandomUNet(SPEC), policy=policy())
    inputs = image(engine)
    engine.record(**inputs)
    _, change = engine.commit(engine.prepare(SPOT), **edited(inputs, SPOT))
    engine.record(**inputs)
    with pytest.raises(SigeError, match=r"^this change does not fit step 0"):
        engine.swap(0, change)
    with pytest.raises(SigeError, match=r"^step 1 was not recorded"):
        engine.swap(1, change)


def test_a_commit_that_fails_leaves_the_record_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(RandomUNet(SPEC), policy=policy())
    inputs = image(engine)
    engine.record(**inputs)
    before = digest(engine)
    monkeypatch.setattr("sige_mlx.engine.native.executor.renewed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.commit(engine.prepare(SPOT), **edited(inputs, SPOT))
    assert digest(engine) == before
