"""Commits, undoing them, and the recordings that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.history import Past
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from tests.tiny import TRANSLATION_CONFIG, label_engine, labels, original, tiny_engine, translation_engine

STEPS = 2


@dataclass(frozen=True)
class Kind:
    """A kind of session: its engine, a session on an original, the first original, and one that is painted into."""

    engine: Callable[..., Engine]
    open: Callable[..., Any]
    original: Callable[[], npt.NDArray[Any]]
    colour: Any


KINDS = {
    "strokes": Kind(tiny_engine, lambda e, o, **k: EditSession(e, o, steps=STEPS, **k), original, (200, 160, 60)),
    "labels": Kind(label_engine, LabelSession, labels, 21),
    "translation": Kind(
        translation_engine, TranslationSession, lambda: original(*TRANSLATION_CONFIG.image_size), (9, 200, 120)
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def now(session: Any) -> npt.NDArray[Any]:
    """The original of a session."""
    return np.array(session.labels if isinstance(session, LabelSession) else session.original)


def stroke(kind: Kind, session: Any, row: int, column: int) -> npt.NDArray[Any]:
    """The original of a session, painted into."""
    edited = now(session)
    edited[row : row + 4, column : column + 5] = kind.colour
    return edited


def probe(kind: Kind, session: Any) -> npt.NDArray[np.uint8]:
    """What an edit gives, which shows what is recorded; it is reverted."""
    image: npt.NDArray[np.uint8] = session.edit(stroke(kind, session, 24, 22)).image
    session.revert()
    return image


def test_undone_commits_leave_no_trace(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = kind.open(kind.engine(), kind.original())
    states = [(now(opened), probe(kind, opened))]
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    for at in (8, 10), (2, 20), (12, 6):
        opened.edit(stroke(kind, opened, *at))
        opened.commit()
        opened.settle()
        states.append((now(opened), probe(kind, opened)))
    monkeypatch.setattr(Engine, "commit", lambda *_, **__: pytest.fail("an edit was computed"))

    def are(state: int) -> None:
        assert (opened.undoable, opened.redoable) == (state, 3 - state)
        assert np.array_equal(now(opened), states[state][0])
        assert np.array_equal(probe(kind, opened), states[state][1])

    for state in 2, 1, 0:
        opened.undo()
        are(state)
    with pytest.raises(SigeError, match="there is no commit to undo"):
        opened.undo()
    for state in 1, 2, 3:
        opened.redo()
        are(state)
    with pytest.raises(SigeError, match="nothing was undone"):
        opened.redo()


def test_a_commit_after_undo_forgets_what_was_undone(kind: Kind) -> None:
    opened = kind.open(kind.engine(), kind.original())
    opened.edit(stroke(kind, opened, 8, 10))
    opened.commit()
    opened.undo()
    opened.edit(stroke(kind, opened, 2, 20))
    opened.commit()
    assert (opened.undoable, opened.redoable) == (1, 0)


def test_an_empty_commit_is_nothing_to_undo() -> None:
    opened = EditSession(tiny_engine(), original(), steps=STEPS)
    opened.edit(original())
    opened.commit()
    assert opened.undoable == 0 and opened.pending is None


def test_refreshed_it_is_as_if_recorded_anew(kind: Kind) -> None:
    opened = kind.open(kind.engine(), kind.original())
    for at in (8, 10), (2, 20):
        opened.edit(stroke(kind, opened, *at))
        opened.commit()
    assert opened.stale == opened.steps
    opened.refresh()
    assert opened.stale == 0
    if kind is KINDS["labels"]:
        fresh = LabelSession(kind.engine(), opened.labels, opened.instances)
    else:
        fresh = kind.open(kind.engine(), opened.original)
    assert np.array_equal(probe(kind, opened), probe(kind, fresh))
    opened.undo()  # by an edit's work: what the commit replaced belonged to what was recorded before
    assert opened.stale == opened.steps
    opened.redo()
    assert opened.stale == 0


def test_an_interrupted_refresh_goes_on_where_it_was() -> None:
    opened = EditSession(tiny_engine(), original(), steps=4)
    opened.edit(stroke(KINDS["strokes"], opened, 8, 10))
    opened.commit()

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.refresh(interrupt)
    assert opened.stale == 1
    opened.refresh()
    assert opened.stale == 0


@pytest.mark.parametrize("at", [0, 1, STEPS])
@pytest.mark.parametrize("verb", ["commit", "undo", "redo"])
def test_interrupted_nothing_has_happened(verb: str, at: int) -> None:
    kind = KINDS["strokes"]
    opened = kind.open(tiny_engine(), original())
    opened.edit(stroke(kind, opened, 8, 10))
    if verb != "commit":
        opened.commit()
    if verb == "redo":
        opened.undo()
    before = opened.edit(stroke(kind, opened, 2, 20)).image, now(opened), opened.undoable, opened.redoable

    def interrupt(what: str, done: int, total: int) -> None:
        if what == verb and done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(opened, verb)(interrupt)
    after = opened.edit(stroke(kind, opened, 2, 20)).image, now(opened), opened.undoable, opened.redoable
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    getattr(opened, verb)()


def test_a_result_is_its_users(kind: Kind) -> None:
    """Who changes its arrays changes no commit."""
    opened, same = (kind.open(kind.engine(), kind.original()) for _ in range(2))
    for session in (opened, same):
        result = session.edit(stroke(kind, session, 8, 10))
        if session is opened:
            result.mask[:] = result.image[:] = 0
        session.commit()
    assert opened.undoable == 1 and np.array_equal(now(opened), now(same))
    assert np.array_equal(probe(kind, opened), probe(kind, same))


@pytest.mark.parametrize("history", ["much", -5, 1.5])
def test_a_history_is_bytes(kind: Kind, history: Any) -> None:
    with pytest.raises(SigeError, match=r"^history is "):
        kind.open(kind.engine(), kind.original(), history=history)


def size_of(session: Any, past: Past[Any]) -> int:
    """Bytes of an original to go back to, without tiles."""
    size: int = session._size(past.given) + past.region.nbytes
    return size


def test_a_history_keeps_to_its_budget(kind: Kind) -> None:
    """First the tiles of the oldest commits go, so that undoing takes an edit; then the oldest originals."""
    engine = kind.engine()
    unlimited = kind.open(engine, kind.original())
    for row in range(0, 20, 5):
        unlimited.edit(stroke(kind, unlimited, row, 10))
        unlimited.commit()
        unlimited.settle()
    history = unlimited._history
    tiles = sum(change.nbytes for past in history.undo for change in past.changes.values())
    assert tiles > 0
    of_two = sum(size_of(unlimited, past) for past in history.undo[-2:])
    for budget, left in ((history.nbytes - tiles, 4), (of_two, 2), (0, 0)):
        opened = kind.open(engine, kind.original(), history=budget)
        for row in range(0, 20, 5):
            opened.edit(stroke(kind, opened, row, 10))
            opened.commit()
            opened.settle()
            assert opened._history.nbytes <= budget
        assert opened.undoable == left
        for _ in range(left):
            opened.undo()
        if left == 4:
            assert np.array_equal(now(opened), kind.original())
        else:
            with pytest.raises(SigeError, match=f"{4 - left} older ones were forgotten"):
                opened.undo()
