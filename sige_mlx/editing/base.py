"""What all sessions are: an original, what an engine recorded of it, and the originals that it was before."""

from __future__ import annotations

import os
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sige_mlx.editing import saved
from sige_mlx.editing.background import Background
from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.history import Given, History, Past, Undoing
from sige_mlx.editing.recorded import Recorded
from sige_mlx.editing.recording import Changes, Move, Progress, Recording
from sige_mlx.editing.result import EditResult
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size

if TYPE_CHECKING:
    from typing_extensions import Self


class Session(Recorded[Given], Undoing[Given]):
    """An original of `size` (H, W) open for editing under a network that runs at every one of `steps`; a subclass says
    what it edits. The network sees the original through windows of its own size, and in each one what it computed is
    recorded; an original of just that size has one window, which shows it as it is. Its history keeps at most `history`
    bytes, by default a sixteenth of the machine's memory. A session is for one thread at a time, besides the one that
    it records in itself; sessions in several threads may share an engine, which runs one pass at a time."""

    def __init__(self, engine: Engine, given: Given, size: Size, steps: Sequence[float], history: int | None = None):
        super().__init__(engine, given, size, steps, History(self._size, history))
        self.pending: EditResult | None = None
        self._pending: tuple[Given, Mask] | None = None
        self._worker: Background | None = None
        self.note: Any = None
        """For whoever opens it again: anything that JSON can hold."""

    @abstractmethod
    def _read(self, given: Any, size: Size) -> Given:
        """An original, or a part of one, out of a file, once it is one of a size. Raises `SigeError` for what the
        network cannot read."""

    @staticmethod
    @abstractmethod
    def _part(given: Given, box: Box) -> Given:
        """A part of an original, in arrays of its own."""

    @staticmethod
    @abstractmethod
    def _patched(given: Given, box: Box, part: Given) -> Given:
        """An original with another part in a place."""

    @staticmethod
    @abstractmethod
    def _differ(one: Given, other: Given) -> Mask:
        """(H, W): where two originals of one size differ in anything."""

    @property
    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What a session of the same kind is made with, besides engine and original; JSON can hold it."""

    def commit(self, progress: Progress | None = None) -> None:
        """Makes the pending result the original, at once; `undo` can bring the old one back. What is recorded, in every
        window that shows some of it, is behind then until it is settled. When it is interrupted nothing has happened.
        Raises `SigeError` when nothing is pending.

            session.edit("island.png")
            session.commit()
        """
        if self._pending is None:
            raise SigeError("there is nothing to commit: call edit() first")
        given, region = self._pending
        if region.any():
            box = self._changed(given, region)
            past = Past(self._part(given, box), box, box.of(region).copy())
            self._history.committed(self._moved(past, progress, "commit"))
        self.revert()

    @property
    def proposed(self) -> Given:
        """What `commit` would make the original. Raises `SigeError` when nothing is pending."""
        if self._pending is None:
            raise SigeError("nothing is pending: call edit() first")
        return self._pending[0]

    def adopt(self, given: Given, progress: Progress | None = None) -> None:
        """Makes an original the one that is edited which was made elsewhere, such as by another session of the same
        picture: as a commit, with the same price, and `undo` can bring the old one back. Drops a pending result. Raises
        `SigeError` for one of another size."""
        region = self._differ(self.given, given)
        if box := extent(region):
            past = Past(self._part(given, box), box, box.of(region).copy())
            self._history.committed(self._moved(past, progress, "commit"))
        self.revert()

    def _changed(self, given: Given, region: Mask) -> Box:
        """The part in which an original differs from that of now, and a region is."""
        box = extent(region)
        assert box is not None
        return box

    def _waits(self, result: EditResult, given: Given) -> EditResult:
        """Makes a result the pending one, and what it is a result of; returns it."""
        self.pending, self._pending = result, (given, result.mask.copy())  # who has the result may change its arrays
        return result

    def revert(self) -> None:
        """Drops the pending result, if there is one. It never touched the recording, so this takes no time: it is what
        happens to a result that the next edit takes the place of, too.

            session.edit("island.png")
            session.revert()
        """
        self.pending = self._pending = None

    def undo(self, progress: Progress | None = None) -> None:
        """Brings back the original before the last commit, and drops a pending result. Of steps that were settled the
        tiles that the commit replaced are copied back; where the history has no room for them what is recorded is
        behind. When it is interrupted nothing has happened. Raises `SigeError` when there is nothing to undo.

            while session.undoable:
                session.undo()
        """
        self._undo(lambda to: self._moved(to, progress, "undo"))

    def redo(self, progress: Progress | None = None) -> None:
        """Does again what was undone last, at the price of `undo`. A commit ends what can be done again. Raises
        `SigeError` when there is nothing.

            if session.redoable:
                session.redo()
        """
        self._redo(lambda to: self._moved(to, progress, "redo"))

    def record_in_background(self, refresh: bool = False) -> Background:
        """Records the steps that are missing in a thread of its own, settles those that are behind, and then with
        `refresh` records anew those that are not exact. Edits and commits go first: the thread waits while there is
        one, and an edit waits for no more than the step that it works on. Returns what waits for it and stops it;
        called again it resumes.

            background = session.record_in_background()
            background.wait()
        """
        if self._worker is not None and self._worker.running and self._worker.refresh >= refresh:
            return self._worker
        if self._worker is not None:
            self._worker.stop()
        self._worker = Background(weakref.WeakMethod(self._next), self._access.idle, refresh)
        return self._worker

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the session into a file, with what is recorded and the originals that `undo` goes back to, but not the
        tiles that commits replaced: a picture that a network makes of an original is made anew by an undo after `open`,
        and only nearly what it was. Steps that are behind are settled first, by an edit's work. At any moment there is
        the file that was there or the new one. Recordings of a GPU cannot be written: a warning says here, and in
        `open`, that they are made anew. Raises `SigeError` when the file cannot be written.

            session.save("sea.sige")
        """
        saved.save(self, path)

    @classmethod
    def open(cls, engine: Engine, path: str | os.PathLike[str], *, history: int | None = None) -> Self:
        """The session that `save` wrote into a file. What it recorded is mapped into memory, and read and checked step
        by step as edits need it; a step that is damaged is recorded anew, with a warning. The file may be replaced or
        removed meanwhile, but must not be written into. Raises `SigeError` for a file that is none, and for one of
        another network, policy or device. `Model.open` calls it with an engine that fits.

            session = sige_mlx.EditSession.open(session.engine, "sea.sige")
        """
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

    def _moved(self, to: Past[Given], progress: Progress | None, what: str) -> Past[Given]:
        """Makes another original the one that is edited; returns what leads back."""
        with self._access.first():
            left, given = self._part(self.given, to.box), self._patched(self.given, to.box, to.given)
            seen = [(recording, window.touched(to.region, to.box)) for window, recording in self._views]
            moves = [(recording, Move(to.region, touched)) for recording, touched in seen if touched.any()]
            done: list[tuple[Recording, Move]] = []

            def tell(steps: int) -> None:
                if progress:
                    progress(what, len(done) * self.steps + steps, len(moves) * self.steps)

            back: Changes = {}
            try:
                for recording, move in moves:
                    back |= recording.moved(move, to.changes, tell)
                    done.append((recording, move))
            except BaseException:
                for recording, move in done:
                    to.changes |= recording.moved(move, back)
                raise
            self.given, self._last = given, None
            self.revert()
        return Past(left, to.box, to.region, back)
