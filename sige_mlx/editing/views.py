"""The windows of a session, and what an engine keeps in each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sige_mlx.editing.recording import Recording
from sige_mlx.editing.windows import Window
from sige_mlx.engine import Engine


class Access:
    """Who may read or change what a session has recorded."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held by whoever reads or changes what is recorded."""
        self.idle = threading.Event()
        """Set while no edit waits or runs: work in the background goes on then."""
        self.idle.set()
        self._busy = 0
        self._counting = threading.Lock()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Holds the lock, and keeps work in the background from asking for it."""
        with self._counting:
            self._busy += 1
            self.idle.clear()
        try:
            with self.lock:
                yield
        finally:
            with self._counting:
                self._busy -= 1
                if not self._busy:
                    self.idle.set()


class Views:
    """A recording for each window that a session has used. Together they keep to the engine's budget of recordings:
    those that were used least recently make room for others."""

    def __init__(self, engine: Engine, steps: Sequence[float]):
        self._engine, self._steps = engine, steps
        self._of: dict[Window, Recording] = {}

    def __iter__(self) -> Iterator[tuple[Window, Recording]]:
        """The windows and their recordings, the one used last at the end."""
        return iter([*self._of.items()])

    @property
    def recordings(self) -> list[Recording]:
        """Those of all windows, the one used last first."""
        return [*reversed(self._of.values())]

    @property
    def window(self) -> Window | None:
        """The one used last; None before any is."""
        return next(reversed(self._of), None)

    def use(self, window: Window) -> Recording:
        """The recording of a window, which is the one used last from now on."""
        recording = self._of.pop(window, None) or Recording(self._engine, self._steps)
        self._of[window] = recording
        return recording

    def make_room(self) -> list[Recording]:
        """Drops windows, until what is missing of the one used last fits into memory as exactly as the engine can keep
        it, or there is no other. Returns the recordings that are no more."""
        dropped: list[Recording] = []
        missing = len(self.recordings[0].missing)
        while len(self._of) > 1 and missing and not self._engine.recordings.have_room(missing):
            dropped.append(self._of.pop(next(iter(self._of))))
            dropped[-1].drop()
        return dropped
