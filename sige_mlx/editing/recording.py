"""What an engine keeps for one session."""

import statistics
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import mlx.core as mx

from sige_mlx.engine import Engine

Progress = Callable[[str, int, int], None]
"""Called with (what, steps done, steps in all); what is "record", "edit" or "dense"."""


class Recording:
    """Recorded passes over an original, one for each of `steps`. An engine may serve several sessions: what it keeps
    for this one has names of its own, and goes with the session. Raises `SigeError` when the steps would not fit in
    memory."""

    def __init__(self, engine: Engine, steps: Sequence[float]):
        engine.recordings.check(len(steps))
        self._engine = engine
        self._name = object()
        self._steps = steps
        self._seconds: dict[float, float] = {}
        weakref.finalize(self, _forget, engine, [self.key(step) for step in steps])

    def __contains__(self, step: float) -> bool:
        return step in self._seconds

    def key(self, step: float) -> Hashable:
        """What the engine knows a step by."""
        return self._name, step

    def add(self, step: float, **inputs: Any) -> mx.array:
        """Records a step; gives its dense output."""
        start = time.perf_counter()
        output = self._engine.record(self.key(step), **inputs)
        self._seconds[step] = time.perf_counter() - start
        return output

    def drop(self) -> None:
        """Forgets all steps."""
        self._seconds.clear()
        _forget(self._engine, map(self.key, self._steps))

    @property
    def dense_seconds(self) -> float | None:
        """What dense passes of all steps take, by the median of those recorded; None when there are none."""
        return statistics.median(self._seconds.values()) * len(self._steps) if self._seconds else None


def _forget(engine: Engine, keys: Iterable[Hashable]) -> None:
    for key in keys:
        engine.recordings.forget(key)
