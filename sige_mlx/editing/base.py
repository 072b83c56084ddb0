"""What all sessions are: an original, what an engine recorded of it, and the originals that it was before."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from sige_mlx.editing import saved
from sige_mlx.editing.background import Background
from sige_mlx.editing.history import Given, History, Past
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.result import EditResult
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for and where they are."""

    recording: int
    """Of the steps that are recorded in memory, or were taken out of a session's file."""
    disk: int
    """Of the steps that are on the disk, because memory has no room for them or nothing has needed them yet."""
    history: int
    """Of what undo and redo go back to."""
    weights: int

    @property
    def total(self) -> int:
        """Of all that is in memory."""
        return self.recording + self.history + self.weights


class Session(ABC, Generic[Given]):
    """An original open for editing under a network that runs at every one of `steps`; a subclass says what it edits.
    Its history keeps at most `history` bytes, by default a sixteenth of the machine's memory. A session is for one
    thread at a time, besides the one that it records in itself; sessions in several threads may share an engine, which
    runs one pass at a time."""

    def __init__(self, engine: Engine, given: Given, steps: Sequence[float], history: int | None = None):
        self.engine = engine
        self.given = given
        """The original, as it is now."""
        self.pending: EditResult | None = None
        self._pending: tuple[Given, Mask] | None = None
        self._recording = Recording(engine, steps)
        self._history: History[Given] = History(self._size, history)
        self._worker: Background | None = None
        self.note: Any = None
        """For whoever opens it again: anything that JSON can hold."""

    @abstractmethod
    def _inputs(self, given: Given, step: float) -> Mapping[str, Any]:
        """What the network reads at a step."""

    @abstractmethod
    def _read(self, given: Any) -> Given:
        """An original out of a file, once it is one. Raises `SigeError` for what the network cannot read."""

    @staticmethod
    @abstractmethod
    def _size(given: Given) -> int:
        """Bytes that an original takes."""

    @property
    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What a session of the same kind is made with, besides engine and original; JSON can hold it."""

    @property
    def steps(self) -> int:
        """Passes of the network that an edit takes."""
        return len(self._recording.steps)

    @property
    def recorded(self) -> int:
        """Steps that are recorded."""
        return self.steps - len(self._recording.missing)

    @property
    def recorded_anew(self) -> bool:
        """Whether steps were recorded since it was made or opened, and not all taken out of its file."""
        return self._recording.dense_seconds is not None

    @property
    def stale(self) -> int:
        """Steps that were recorded on an earlier original than this: `refresh` makes them exact."""
        return len(self._recording.stale)

    @property
    def behind(self) -> int:
        """Steps of which what is recorded is still that of an earlier original: `settle` carries it over."""
        return len(self._recording.behind)

    @property
    def undoable(self) -> int:
        """So many commits can be undone."""
        return len(self._history.undo)

    @property
    def redoable(self) -> int:
        """So many that were undone can be done again."""
        return len(self._history.redo)

    def memory(self) -> Memory:
        """What the session keeps, in bytes, and the weights of its engine, which other sessions may share."""
        recording, kept = self._recording, self._recording.kept
        file = len(recording.stored) * self.engine.recordings.step_nbytes()
        weights = self.engine.executor.weights_nbytes
        return Memory(kept.memory, kept.disk + file, self._history.nbytes, weights)

    def commit(self, progress: Progress | None = None) -> None:
        """Makes the pending result the original, at once; `undo` can bring the old one back. What is recorded is behind
        then until it is settled. When it is interrupted nothing has happened. Raises `SigeError` when nothing is
        pending."""
        if self._pending is None:
            raise SigeError("there is nothing to commit: call edit() first")
        given, region = self._pending
        if region.any():
            self._history.committed(self._moved(Past(given, region), progress, "commit"))
        self.revert()

    def _waits(self, result: EditResult, given: Given) -> EditResult:
        """Makes a result the pending one, and what it is a result of; returns it."""
        self.pending, self._pending = result, (given, result.mask.copy())  # who has the result may change its arrays
        return result

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        self.pending = self._pending = None

    def undo(self, progress: Progress | None = None) -> None:
        """Brings back the original before the last commit, and drops a pending result. Of steps that were settled the
        tiles that the commit replaced are copied back; where the history has no room for them what is recorded is
        behind. When it is interrupted nothing has happened. Raises `SigeError` when there is nothing to undo."""
        history = self._history
        if not history.undo:
            kept = (
                f": {history.forgotten} older ones were forgotten, for a history keeps {history.budget / 2**20:.0f} MiB"
            )
            raise SigeError("there is no commit to undo" + (kept if history.forgotten else ""))
        history.redo.append(self._moved(history.undo[-1], progress, "undo"))
        history.undo.pop()
        history.fit()

    def redo(self, progress: Progress | None = None) -> None:
        """Does again what was undone last, at the price of `undo`. Raises `SigeError` when there is nothing."""
        history = self._history
        if not history.redo:
            raise SigeError("nothing was undone that could be done again")
        history.undo.append(self._moved(history.redo[-1], progress, "redo"))
        history.redo.pop()
        history.fit()

    def record(self, progress: Progress | None = None) -> Any:
        """Records the original at every step; done by the first edit when it was not done before. Can be interrupted
        and resumed. Raises `SigeError` when the steps would not fit in memory."""
        with self._recording.first():
            self._recording.check()
            for done, step in enumerate(self._recording.steps):
                if progress:
                    progress("record", done, self.steps)
                self._need(step)
        if progress:
            progress("record", self.steps, self.steps)

    def settle(self, progress: Progress | None = None) -> None:
        """Carries what is recorded over to the original of now, by the work of one edit for all commits since. That is
        for idle time: `record_in_background` does it too. An edit before it also recomputes what is behind, which is
        cheaper as long as that is little, and settles it itself else. Can be interrupted and resumed."""
        behind = self._recording.behind
        for done, step in enumerate(behind):
            if progress:
                progress("commit", done, len(behind))
            with self._recording.first():
                self._settle(step)
        if progress and behind:
            progress("commit", len(behind), len(behind))

    def refresh(self, progress: Progress | None = None) -> None:
        """Records anew, step by step, what was recorded on an earlier original: it is then as exact as on a new one.
        Can be interrupted and resumed. Commits of before can still be undone; what is recorded is behind then."""
        with self._recording.first():
            self._recording.take_all()
        stale = self._recording.stale
        for done, step in enumerate(stale):
            if progress:
                progress("refresh", done, len(stale))
            with self._recording.first():
                self._recording.add(step, self._now)
        if progress:
            progress("refresh", len(stale), len(stale))

    def record_in_background(self, refresh: bool = False) -> Background:
        """Records the steps that are missing in a thread of its own, settles those that are behind, and then with
        `refresh` records anew those that are not exact. Edits and commits go first: the thread waits while there is
        one, and an edit waits for no more than the step that it works on. Returns what waits for it and stops it;
        called again it resumes."""
        if self._worker is not None and self._worker.running and self._worker.refresh >= refresh:
            return self._worker
        if self._worker is not None:
            self._worker.stop()
        self._worker = Background(weakref.WeakMethod(self._next), self._recording.idle, refresh)
        return self._worker

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the session into a file, with what is recorded and the originals that `undo` goes back to, but not the
        tiles that commits replaced: a picture that a network makes of an original is made anew by an undo after `open`,
        and only nearly what it was. Steps that are behind are settled first, by an edit's work. At any moment there is
        the file that was there or the new one. Recordings of a GPU cannot be written: a warning says here, and in
        `open`, that they are made anew. Raises `SigeError` when the file cannot be written."""
        saved.save(self, path)

    @classmethod
    def open(cls, engine: Engine, path: str | os.PathLike[str], *, history: int | None = None) -> Self:
        """The session that `save` wrote into a file. What it recorded is mapped into memory, and read and checked step
        by step as edits need it; a step that is damaged is recorded anew, with a warning. The file may be replaced or
        removed meanwhile, but must not be written into. Raises `SigeError` for a file that is none, and for one of
        another network, policy or device."""
        file = saved.opened(path, cls.__name__, engine)
        with saved.understood(file):
            given = saved.unpack(file, "given", file.told["given"])
            session = cls._of(engine, given, file.told["settings"], history)
        saved.fill(session, file)
        return session

    @classmethod
    @abstractmethod
    def _of(cls, engine: Engine, given: Given, settings: dict[str, Any], history: int | None) -> Self:
        """A session of an original with `_settings`."""

    def _now(self, step: float) -> Mapping[str, Any]:
        """What the network reads of the original at a step."""
        return self._inputs(self.given, step)

    def _need(self, step: float) -> None:
        """Records a step of the original unless it is recorded; the caller holds the lock."""
        if not self._recording.take(step):
            self._recording.add(step, self._now)

    def _next(self, refresh: bool) -> bool:
        """Records or settles one step more in the background; returns whether there was one."""
        recording = self._recording
        with recording.lock:
            if not recording.missing and recording.behind:
                self._settle(recording.behind[0])
                return True
            if refresh:
                recording.take_all()
            step = next(iter(recording.missing or (recording.stale if refresh else ())), None)
            if step is None:
                return False
            recording.check()
            recording.add(step, self._now)
            return True

    def _settle(self, step: float) -> None:
        """Carries a step over to the original; the caller holds the lock."""
        history = self._history
        if found := self._recording.settle(step, self._now):
            region, change = found
            for past in (*history.undo[-1:], *history.redo[-1:]):
                if past.region is region:
                    past.changes[step] = change
            history.fit()

    def _dense_is_cheaper(self, planned: PreparedEdit) -> bool:
        """Whether the dense pass takes less than recording what is missing and then an edit, if it edits anything."""
        missing = len(self._recording.missing) / self.steps
        return not planned.tiling.empty and missing + planned.macs / self.engine.macs > 1

    def _moved(self, to: Past[Given], progress: Progress | None, what: str) -> Past[Given]:
        """Makes another original the one that is edited; returns what leads back."""

        def tell(done: int) -> None:
            if progress:
                progress(what, done, self.steps)

        with self._recording.first():
            back = self._recording.moved(to.region, to.changes, tell)
            left, self.given = self.given, to.given
            self.revert()
        return Past(left, to.region, back)
