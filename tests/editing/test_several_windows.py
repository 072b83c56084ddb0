"""What sessions keep of several windows: commits, undoing, budgets, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.editing import EditResult, EditSession
from sige_mlx.editing.boxes import Box
from sige_mlx.engine import Engine
from tests.editing.test_any_size import STEPS, engine, open_session, photograph, stroke
from tests.tiny import (
    tiny_engine,
)

__all__ = ["engine"]

PLACES = Box(60, 70, 8, 8), Box(80, 90, 9, 8), Box(4, 130, 8, 8), Box(30, 30, 80, 90), Box(62, 74, 8, 8)
"""Edits whose windows overlap, stand apart, or are of a larger scale."""


def edited_in_turn(opened: EditSession) -> list[npt.NDArray[np.uint8]]:
    """The originals that a session has, edit after edit."""
    states = [opened.original]
    for seed, box in enumerate(PLACES):
        opened.edit(stroke(opened.original, box, seed))
        opened.commit()
        states.append(opened.original)
    return states


@pytest.mark.parametrize("settled", [False, True])
def test_undo_and_redo_go_across_windows(engine: Engine, settled: bool) -> None:
    opened = open_session(engine, photograph(150, 170))
    states = edited_in_turn(opened)
    assert len(opened.windows) >= 4
    for state in (*range(len(PLACES))[::-1], *range(1, len(PLACES) + 1)):
        if settled:
            opened.settle()
        (opened.undo if state < opened.undoable else opened.redo)()
        assert np.array_equal(opened.original, states[state])
    assert (opened.undoable, opened.redoable) == (len(PLACES), 0)


def test_what_is_recorded_in_every_window_follows_a_commit(engine: Engine) -> None:
    """An edit in one window, then one in another that shows some of it: after a refresh as in a new session."""
    opened = open_session(engine, photograph(150, 170))
    edited_in_turn(opened)
    opened.settle()
    assert opened.behind == 0 and opened.stale > STEPS
    opened.refresh()
    assert opened.stale == 0
    fresh = open_session(engine, opened.original)
    for seed, box in enumerate(PLACES):
        edited = stroke(opened.original, box, 100 + seed)
        assert np.array_equal(opened.edit(edited).image, fresh.edit(edited).image)


def test_an_undone_commit_leaves_no_trace_in_any_window(engine: Engine) -> None:
    opened = open_session(engine, photograph(150, 170))

    def probes() -> list[EditResult]:
        return [opened.edit(stroke(opened.original, box, 9)) for box in PLACES]

    before = probes()
    for settled in (False, True):
        opened.edit(stroke(opened.original, PLACES[3], 1))
        opened.commit()
        if settled:
            opened.settle()
            assert opened.stale > STEPS  # of more windows than one
        opened.undo()
        assert (opened.behind, opened.stale) == (0, 0)
        for one, other in zip(before, probes(), strict=True):
            assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("at", range(7))
def test_interrupted_nothing_has_happened_in_any_window(engine: Engine, at: int) -> None:
    opened = open_session(engine, photograph(150, 170))
    for box in PLACES[:2]:
        opened.edit(stroke(opened.original, box))
    opened.commit()
    opened.settle()
    stale = opened.stale
    assert stale == 2 * STEPS
    before, calls = opened.original, []

    def interrupt(what: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == at + 1:
            raise KeyboardInterrupt

    try:
        opened.undo(interrupt)
    except KeyboardInterrupt:
        assert np.array_equal(opened.original, before)
        assert (opened.stale, opened.behind, opened.undoable) == (stale, 0, 1)
        opened.undo()
    assert (opened.stale, opened.behind) == (0, 0)


def test_edits_settle_what_would_cost_them_more_in_their_window_alone(engine: Engine) -> None:
    opened = open_session(engine, photograph(150, 170))
    edited_in_turn(opened)
    opened.settle()
    opened.edit(stroke(opened.original, PLACES[3], 1))
    opened.commit()
    behind = opened.behind
    for _ in range(100):
        opened.edit(stroke(opened.original, PLACES[1], 8))
        if opened.behind < behind:
            break
    assert opened.behind == behind - STEPS > 0


def test_windows_make_room_for_each_other_within_the_budget() -> None:
    """The one that was used least recently goes first, and what undoing it would have swapped."""
    engine = tiny_engine()
    engine.recordings.budget = 2 * STEPS * engine.recordings.step_nbytes("float32")
    opened, windows = open_session(engine, photograph(150, 400)), []
    for left in (30, 130, 230):
        windows.append(opened.edit(stroke(opened.original, Box(60, left, 8, 8))).window)
        opened.commit()
        opened.settle()
        assert engine.recordings.kept.memory <= engine.recordings.budget and engine.recordings.kept.disk == 0
    kept = {recording.key(step) for _, recording in opened._views for step in recording.steps}
    assert all(past.changes.keys() <= kept for past in opened._history.undo)
    assert opened.windows == tuple(windows[1:]) and engine.recordings.codec == "float32"
    opened.edit(stroke(opened.original, Box(60, 130, 8, 8)))  # which is used again
    opened.edit(stroke(opened.original, Box(60, 30, 8, 8)))
    assert opened.windows == (windows[1], windows[0])
    states = opened.original
    for _ in range(3):
        opened.undo()
    for _ in range(3):
        opened.redo()
    assert np.array_equal(opened.original, states)


def test_a_saved_session_goes_on_in_its_windows(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(engine, photograph(150, 170), seed=4)
    states = edited_in_turn(opened)
    opened.save(tmp_path / "s")
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    again = EditSession.open(tiny_engine(), tmp_path / "s")
    assert again.windows == opened.windows and again.memory().disk > 0
    for box in PLACES:
        edited = stroke(opened.original, box, 77)
        assert np.array_equal(again.edit(edited).image, opened.edit(edited).image)
    for state in range(len(PLACES))[::-1]:
        again.undo()
        assert np.array_equal(again.original, states[state])
    again.save(tmp_path / "s")
    once_more = EditSession.open(tiny_engine(), tmp_path / "s")
    for state in range(1, len(PLACES) + 1):
        once_more.redo()
        assert np.array_equal(once_more.original, states[state])
