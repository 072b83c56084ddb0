"""What a session can go back to: the originals before its commits, and the tiles that the commits replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sige_mlx.arguments import whole
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.recording import Changes
from sige_mlx.engine import physical_memory
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

SHARE = 1 / 16
"""The part of the machine's memory that a history may take where nobody says otherwise."""

Given = TypeVar("Given")
"""What a session edits."""


@dataclass
class Past(Generic[Given]):
    """An original to go back to: what differs of it."""

    given: Given
    """The part of it in `box`; elsewhere it is the original that it goes back from."""
    box: Box
    region: Mask
    """(H, W) of the box: where what a network reads differs."""
    changes: Changes = field(default_factory=dict)
    """What brings the records of steps there. A step without a change takes an edit."""


class History(Generic[Given]):
    """Originals to go back to, the latest last. `size` says how many bytes a part of one takes, and all of them take at
    most `budget` together. Where they would take more, the oldest lose first the tiles that make going back cheap, and
    then they are forgotten."""

    def __init__(self, size: Callable[[Given], int], budget: int | None = None):
        self.budget = int(SHARE * physical_memory()) if budget is None else whole(budget, "history", 0)
        self.undo: list[Past[Given]] = []
        self.redo: list[Past[Given]] = []
        self.forgotten = 0
        """So many originals could be gone back to, but for the budget."""
        self._size = size

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return sum(map(self._bytes, (*self.undo, *self.redo)))

    def committed(self, past: Past[Given]) -> None:
        """Notes what a commit goes back to. What had been undone before is forgotten."""
        self.undo.append(past)
        self.redo.clear()
        self.fit()

    def fit(self) -> None:
        """Forgets what is over the budget."""
        over = self.nbytes - self.budget
        oldest = [*self.undo, *self.redo]
        for past in oldest:
            if over <= 0:
                return
            over -= sum(change.nbytes for change in past.changes.values())
            past.changes.clear()
        while over > 0 and (self.undo or self.redo):
            over -= self._bytes((self.undo or self.redo).pop(0))
            self.forgotten += 1

    def _bytes(self, past: Past[Given]) -> int:
        return self._size(past.given) + past.region.nbytes + sum(change.nbytes for change in past.changes.values())


class Undoing(Generic[Given]):
    """A session that has a history."""

    _history: History[Given]

    @property
    def undoable(self) -> int:
        """So many commits can be undone."""
        return len(self._history.undo)

    @property
    def redoable(self) -> int:
        """So many that were undone can be done again."""
        return len(self._history.redo)

    def _undo(self, moved: Callable[[Past[Given]], Past[Given]]) -> None:
        """Goes back to the original before the last commit: `moved` goes there, and returns what leads back. Where it
        is interrupted nothing has happened. Raises `SigeError` when there is nothing to undo."""
        history = self._history
        if not history.undo:
            kept = (
                f": {history.forgotten} older ones were forgotten, for a history keeps {history.budget / 2**20:.0f} MiB"
            )
            raise SigeError("there is no commit to undo" + (kept if history.forgotten else ""))
        history.redo.append(moved(history.undo[-1]))
        history.undo.pop()
        history.fit()

    def _redo(self, moved: Callable[[Past[Given]], Past[Given]]) -> None:
        """Does again what was undone last. Raises `SigeError` when there is nothing."""
        history = self._history
        if not history.redo:
            raise SigeError("nothing was undone that could be done again")
        history.undo.append(moved(history.redo[-1]))
        history.redo.pop()
        history.fit()
