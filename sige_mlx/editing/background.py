"""Work on a session while its user paints, in a thread of its own."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable

Work = Callable[[bool], bool]
"""Does one step more, with or without refreshing; returns whether there was one."""


class Background:
    """Steps of a session are recorded in a thread, which ends with the session and with the process. It goes on while
    `idle` is set."""

    def __init__(self, work: weakref.WeakMethod[Work], idle: threading.Event, refresh: bool):
        self.refresh = refresh
        self.error: BaseException | None = None
        """What ended the recording, if it failed."""
        self._done = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work, idle), daemon=True, name="sige-mlx recording")
        atexit.register(self.stop)  # a thread that computes while the interpreter ends brings the process down
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is something left that it records."""
        return self._thread.is_alive() and not self._stopped.is_set()

    def stop(self) -> None:
        """Ends the recording after the step that is being recorded. What is recorded is kept."""
        self._stopped.set()
        self._thread.join()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until all is recorded, or for so many seconds, or until it is stopped; returns whether all is recorded.
        Raises what the recording failed with."""
        self._thread.join(seconds)
        if self.error is not None:
            raise self.error
        return self._done

    def _run(self, work: weakref.WeakMethod[Work], idle: threading.Event) -> None:
        try:
            while not self._stopped.is_set():
                if not idle.wait(0.05):
                    continue
                if (step := work()) is None:
                    return
                if not step(self.refresh):
                    self._done = True
                    return
                del step
        except BaseException as error:  # whoever waits is told
            self.error = error
        finally:
            atexit.unregister(self.stop)
