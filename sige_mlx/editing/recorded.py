"""An original, and what an engine has recorded of it in each of its windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from sige_mlx.editing.history import Given, History
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.views import Access, Views
from sige_mlx.editing.windows import Window
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.pictures import Size


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


class Recorded(ABC, Generic[Given]):
    """An original of `size` (H, W), which a network that runs at every one of `steps` sees through windows of its own
    size, and what an engine keeps of that; a subclass says what it is. In the `history` are the changes that undo what
    is carried over to another original."""

    def __init__(self, engine: Engine, given: Given, size: Size, steps: Sequence[float], history: History[Given]):
        self.engine = engine
        self.given = given
        """The original, as it is now."""
        self.size = size
        """Its height and width."""
        self._steps = steps
        self._access = Access()
        self._views = Views(engine, steps)
        self._history = history
        self._last: tuple[Window, Any] | None = None

    @abstractmethod
    def _seen(self, given: Given, window: Window) -> Any:
        """What a window shows of an original."""

    @abstractmethod
    def _inputs(self, seen: Any, step: float) -> Mapping[str, Any]:
        """What the network reads at a step, by what a window shows."""

    def _conditions(self, step: float) -> Mapping[str, Any]:
        """Those of its inputs that are no images."""
        return {}

    @staticmethod
    @abstractmethod
    def _size(given: Given) -> int:
        """Bytes that an original takes."""

    @property
    def window(self) -> Window | None:
        """The one that was used last; None where the picture is larger than the network's, before the first edit."""
        return self._views.window

    @property
    def windows(self) -> tuple[Window, ...]:
        """Those in which something may be recorded, the one that was used last at the end."""
        return tuple(window for window, _ in self._views)

    @property
    def steps(self) -> int:
        """Passes of the network that an edit takes."""
        return len(self._steps)

    @property
    def recorded(self) -> int:
        """Steps that are recorded of what the window shows that was used last."""
        return sum(self.steps - len(recording.missing) for recording in self._views.recordings[:1])

    @property
    def recorded_anew(self) -> bool:
        """Whether steps were recorded since it was made or opened, and not all taken out of its file."""
        return any(recording.dense_seconds is not None for recording in self._views.recordings)

    @property
    def stale(self) -> int:
        """Steps, of all windows, that were recorded on an earlier original than this: `refresh` makes them exact."""
        return sum(len(recording.stale) for recording in self._views.recordings)

    @property
    def behind(self) -> int:
        """Steps, of all windows, of which what is recorded is still that of an earlier original: `settle` carries it
        over."""
        return sum(len(recording.behind) for recording in self._views.recordings)

    def memory(self) -> Memory:
        """What the session keeps, in bytes, and the weights of its engine, which other sessions may share."""
        kept = [recording.kept for recording in self._views.recordings]
        stored = sum(len(recording.stored) for recording in self._views.recordings)
        file = stored * self.engine.recordings.step_nbytes()
        weights = self.engine.executor.weights_nbytes
        memory, disk = (sum(of[i] for of in kept) for i in (0, 1))
        return Memory(memory, disk + file, self._history.nbytes, weights)

    def record(self, progress: Progress | None = None) -> Any:
        """Records the original at every step, as the window shows it that was used last; done by the first edit when it
        was not done before. Of a picture that is larger than the network's nothing is recorded before an edit says
        where. Can be interrupted and resumed. Raises `SigeError` when the steps would not fit in memory."""
        with self._access.first():
            if self.window is None:
                return
            self._check()
            for done, step in enumerate(self._steps):
                if progress:
                    progress("record", done, self.steps)
                self._need(step)
        if progress:
            progress("record", self.steps, self.steps)

    def settle(self, progress: Progress | None = None) -> None:
        """Carries what is recorded over to the original of now, by the work of one edit for all commits since. That is
        for idle time: `record_in_background` does it too. An edit before it also recomputes what is behind, which is
        cheaper as long as that is little, and settles it itself else. Can be interrupted and resumed."""
        self._settle_all([*self._views], progress)

    def _settle_here(self, progress: Progress | None) -> None:
        """The same in the window that was used last."""
        self._settle_all([*self._views][-1:], progress)

    def _settle_all(self, views: Sequence[tuple[Window, Recording]], progress: Progress | None) -> None:
        behind = [(*view, step) for view in views for step in view[1].behind]
        self._each("commit", behind, self._settle, progress)

    def refresh(self, progress: Progress | None = None) -> None:
        """Records anew, step by step, what was recorded on an earlier original: it is then as exact as on a new one.
        Can be interrupted and resumed. Commits of before can still be undone; what is recorded is behind then."""
        with self._access.first():
            for _, recording in self._views:
                recording.take_all()
        stale = [(*view, step) for view in self._views for step in view[1].stale]
        self._each("refresh", stale, self._add, progress)

    def _each(
        self,
        what: str,
        steps: Sequence[tuple[Window, Recording, float]],
        do: Callable[[Window, Recording, float], None],
        progress: Progress | None,
    ) -> None:
        """Does something with steps of windows, one after another."""
        for done, of in enumerate(steps):
            if progress:
                progress(what, done, len(steps))
            with self._access.first():
                do(*of)
        if progress and steps:
            progress(what, len(steps), len(steps))

    @property
    def _recording(self) -> Recording:
        """That of the window which was used last."""
        return self._views.recordings[0]

    def _shown(self, window: Window) -> Any:
        """What a window shows of the original of now."""
        last = self._last
        if last is None or last[0] != window:
            last = self._last = window, self._seen(self.given, window)
        return last[1]

    def _now(self, step: float, window: Window | None = None) -> Mapping[str, Any]:
        """What the network reads of the original at a step, in a window or the one used last."""
        window = window or self.window
        assert window
        return self._inputs(self._shown(window), step)

    def _need(self, step: float) -> None:
        """Records a step of the original, in the window used last, unless it is recorded; the caller holds the lock."""
        if not self._recording.take(step):
            self._recording.add(step, self._now)

    def _check(self) -> None:
        """Has the engine choose how the steps are kept that are missing in the window used last; windows that were used
        before make room. Raises `SigeError` when the steps would not fit."""
        for dropped in self._views.make_room():
            for past in (*self._history.undo, *self._history.redo):
                for step in self._steps:
                    past.changes.pop(dropped.key(step), None)
        self._recording.check()

    def _next(self, refresh: bool) -> bool:
        """Records or settles one step more in the background; returns whether there was one."""
        with self._access.lock:
            views = [*self._views][::-1]
            if views and (missing := self._recording.missing):
                self._check()
                self._add(views[0][0], self._recording, missing[0])
                return True
            for window, recording in views:
                if behind := recording.behind:
                    self._settle(window, recording, behind[0])
                    return True
            for window, recording in views if refresh else ():
                recording.take_all()
                if stale := recording.stale:
                    self._add(window, recording, stale[0])
                    return True
            return False

    def _add(self, window: Window, recording: Recording, step: float) -> None:
        """Records a step of the original; the caller holds the lock."""
        recording.add(step, partial(self._now, window=window))

    def _settle(self, window: Window, recording: Recording, step: float) -> None:
        """Carries a step over to the original; the caller holds the lock."""
        history = self._history
        if found := recording.settle(step, partial(self._now, window=window)):
            region, change = found
            for past in (*history.undo[-1:], *history.redo[-1:]):
                if past.region is region:
                    past.changes[recording.key(step)] = change
            history.fit()

    def _dense_is_cheaper(self, planned: PreparedEdit) -> bool:
        """Whether the dense pass takes less than recording what is missing and then an edit, if it edits anything."""
        missing = 1 - self.recorded / self.steps
        return not planned.tiling.empty and missing + planned.macs / self.engine.macs > 1
