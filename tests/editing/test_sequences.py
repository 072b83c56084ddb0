"""Random sequences of what can be done to a session: it is that of its original, whatever came before."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sige_mlx.engine import Engine
from tests.editing.test_history import KINDS, Kind, now, probe, stroke

BOUND = 0.25
"""How far an edit after any sequence may be from one of the original recorded anew: this share, at most, of what the
edit changes, in grey levels on average in its mask. Where every norm is over the whole picture, as of the network that
translates, random weights make edits alone a third off: nothing is promised there but what `refresh` brings."""

ENGINES: dict[str, Engine] = {}


class Sequences(RuleBasedStateMachine):
    """A session beside what it should be: the originals before and after its own."""

    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def begin(self, kind: str) -> None:
        self.kind: Kind = KINDS[kind]
        self.engine = ENGINES.setdefault(kind, self.kind.engine())
        self.session: Any = self.kind.open(self.engine, self.kind.original())
        self.past: list[np.ndarray] = []
        self.future: list[np.ndarray] = []
        self.original = now(self.session)

    @rule(row=st.integers(0, 24), column=st.integers(0, 24), keep=st.booleans())
    def edit(self, row: int, column: int, keep: bool) -> None:
        result = self.session.edit(stroke(self.kind, self.session, row, column))
        if not keep:
            self.session.revert()
        elif result.mask.any():
            self.session.commit()
            self.past.append(self.original)
            self.original, self.future = now(self.session), []

    @precondition(lambda self: self.past)
    @rule()
    def undo(self) -> None:
        self.session.undo()
        self.future.append(self.original)
        self.original = self.past.pop()

    @precondition(lambda self: self.future)
    @rule()
    def redo(self) -> None:
        self.session.redo()
        self.past.append(self.original)
        self.original = self.future.pop()

    @rule()
    def save_and_open(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.session.save(Path(folder) / "s")
            self.session = type(self.session).open(self.engine, Path(folder) / "s")

    @rule()
    def refresh(self) -> None:
        self.session.refresh()
        assert self.session.stale == 0

    @invariant()
    def is_that_of_its_original(self) -> None:
        session = self.session
        assert np.array_equal(now(session), self.original)
        assert (session.undoable, session.redoable) == (len(self.past), len(self.future))

    def teardown(self) -> None:
        """An edit now against one of the original recorded anew."""
        session, kind = self.session, self.kind
        if kind is KINDS["labels"]:
            fresh = type(session)(self.engine, session.labels, session.instances)
        else:
            fresh = kind.open(self.engine, session.source)
        result = fresh.edit(stroke(kind, fresh, 24, 22))
        found = probe(kind, session)
        if result.mask.any() and kind is not KINDS["translation"]:
            off = np.abs(found.astype(int) - result.image)[result.mask].mean()
            before = session.original if kind is KINDS["strokes"] else fresh.record()
            changes = np.abs(before.astype(int) - result.image)[result.mask].mean()
            assert off <= BOUND * max(changes, 1), (off, changes)
        session.refresh()
        assert np.array_equal(probe(kind, session), result.image)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=15, stateful_step_count=8, deadline=None)
