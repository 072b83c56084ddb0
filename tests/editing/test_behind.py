"""Commits take no work of the network: what is recorded is behind, edits make up for it, and idle time settles it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine
from tests.editing.test_history import KINDS, probe, stroke
from tests.tiny import original, tiny_engine

STEPS = 4
STROKES = KINDS["strokes"]


@pytest.fixture
def opened() -> EditSession:
    session = EditSession(tiny_engine(), original(), steps=STEPS)
    session.record()
    return session


def commit(session: EditSession, row: int, column: int) -> None:
    session.edit(stroke(STROKES, session, row, column))
    session.commit()


def off(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    return float(np.abs(found.astype(int) - wanted).mean())


def test_commit_and_undo_run_nothing(opened: EditSession, monkeypatch: pytest.MonkeyPatch) -> None:
    before = probe(STROKES, opened)
    for verb in ("record", "commit", "swap"):
        monkeypatch.setattr(Engine, verb, lambda *_, **__: pytest.fail("something was computed or copied"))
    commit(opened, 8, 10)
    assert opened.behind == opened.stale == STEPS
    opened.undo()
    assert opened.behind == opened.stale == 0
    assert np.array_equal(probe(STROKES, opened), before)
    opened.redo()
    assert opened.behind == STEPS


def test_an_edit_makes_up_for_what_is_behind(opened: EditSession) -> None:
    """Next to a commit, where the old original would show."""
    commit(opened, 22, 18)
    edited = stroke(STROKES, opened, 24, 22)
    result = opened.edit(edited)
    assert opened.behind == STEPS
    fresh = EditSession(opened.engine, opened.original, steps=STEPS).edit(edited)
    ignored = EditSession(opened.engine, original(), steps=STEPS).edit(edited, fresh.mask)
    assert np.array_equal(result.mask, fresh.mask) and result.macs > fresh.macs
    assert np.array_equal(result.image[~result.mask], edited[~result.mask])
    found, wanted, without = (of.image[result.mask] for of in (result, fresh, ignored))
    assert off(found, wanted) < 0.7 * off(without, wanted)  # statistics are those of the old original


def test_settled_it_is_what_a_commit_of_the_engine_makes(opened: EditSession) -> None:
    commit(opened, 8, 10)
    opened.settle()
    assert (opened.behind, opened.stale) == (0, STEPS)
    assert set(opened._history.undo[-1].changes) == {*map(opened._recording.key, opened._recording.steps)}
    edited = stroke(STROKES, opened, 2, 20)
    result = opened.edit(edited)
    fresh = EditSession(opened.engine, opened.original, steps=STEPS).edit(edited)
    assert result.macs == fresh.macs
    assert off(result.image, fresh.image) < 1


def test_an_interrupted_settling_goes_on_where_it_was(opened: EditSession) -> None:
    before = probe(STROKES, opened)
    commit(opened, 8, 10)

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.settle(interrupt)
    assert opened.behind == 1
    opened.undo()  # of three steps by copying, of one by doing nothing
    assert opened.behind == opened.stale == 0
    assert np.array_equal(probe(STROKES, opened), before)
    opened.redo()
    opened.settle()
    assert opened.behind == 0


def test_idle_time_settles(opened: EditSession) -> None:
    commit(opened, 8, 10)
    assert opened.record_in_background().wait(60)
    assert (opened.behind, opened.stale) == (0, STEPS)


def test_several_commits_are_settled_by_one_pass(opened: EditSession, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    compute = Engine.commit
    monkeypatch.setattr(Engine, "commit", lambda *args, **inputs: (passes.append(1), compute(*args, **inputs))[1])
    commit(opened, 8, 10)
    commit(opened, 2, 20)
    assert opened.behind == STEPS and not passes
    opened.settle()
    assert len(passes) == STEPS
    monkeypatch.setattr(Engine, "swap", lambda *_, **__: pytest.fail("the tiles of two commits were swapped"))
    opened.undo()
    assert opened.behind == STEPS and opened.undoable == 1


def test_edits_settle_what_would_cost_them_more(opened: EditSession) -> None:
    commit(opened, 8, 10)
    edits = 0
    while opened.behind and edits < 100:
        opened.edit(stroke(STROKES, opened, 24, 22))
        edits += 1
    assert 1 < edits < 100
