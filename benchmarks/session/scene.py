"""What a user does in a session, call by call: edit, commit, edit elsewhere, pause, edit again, undo."""

import time
from collections.abc import Callable
from typing import Any, Literal

import mlx.core as mx

from benchmarks.session.passes import Passes
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.editing import EditSession
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import from_model
from sige_mlx.engine import Engine
from sige_mlx.engine.recordings import RecordedStep
from sige_mlx.masks.difference import Mask

Call = Literal["edit", "commit", "next", "settle", "later", "undo"]
"""An edit, its commit, the edit right after that, what settles the commit in idle time, the same edit after that time,
and undoing."""

CALLS: tuple[Call, ...] = ("edit", "commit", "next", "settle", "later", "undo")


class Scene:
    """A session on a made-up picture, with another picture to paint under two masks."""

    def __init__(self, engine: Engine, passes: Passes, masks: tuple[Mask, Mask]):
        self._session = EditSession(engine, from_model(passes.x0), steps=passes.count)
        self._other: Picture = from_model(passes.other)
        self._masks = masks
        self.calls: dict[Call, list[float]] = {call: [] for call in CALLS}
        self.change = 0
        """Bytes that undoing the last commit kept."""

    def record(self, progress: Progress, told: str = "record") -> float:
        """Records all steps; returns the seconds."""
        mx.eval(self._session.engine(**self._session._now(self._session._recording.steps[0])))
        return _seconds(lambda: self._session.record(lambda _, done, total: progress(told, done, total)))

    @property
    def recorded(self) -> list[RecordedStep]:
        """What the engine keeps of each step."""
        recording = self._session._recording
        return [self._session.engine.recordings.of(recording.key(step)) for step in recording.steps]

    def edit(self, which: int = 0) -> float:
        """Paints under one of the masks; returns the seconds of the call."""
        mask = self._masks[which]
        painted = self._session.original.copy()
        painted[mask] = self._other[mask]
        return _seconds(lambda: self._session.edit(painted, mask))

    def round(self, timed: bool) -> None:
        """Makes every call once; afterwards the session is as it was."""
        session = self._session
        made: dict[Call, Callable[[], float]] = {
            "edit": lambda: self.edit(0),
            "commit": lambda: _seconds(session.commit),
            "next": lambda: self.edit(1),
            "settle": lambda: _seconds(session.settle),
            "later": lambda: self.edit(1),
            "undo": lambda: _seconds(session.undo),
        }
        for call in CALLS:
            seconds = made[call]()
            self.change = max(self.change, session.memory().history)
            if timed:
                self.calls[call].append(seconds)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
