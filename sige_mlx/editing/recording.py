"""What an engine keeps for one session."""

import os
import statistics
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import mlx.core as mx

from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError

Progress = Callable[[str, int, int], None]
"""Called with (what, steps done, steps in all); what is "record", "edit" or "dense"."""


class Recording:
    """Recorded passes over an original, one for each of `steps`. An engine may serve several sessions: what it keeps
    for this one has names of its own, and goes with the session. Raises `SigeError` when the steps would not fit in
    memory."""

    def __init__(self, engine: Engine, steps: Sequence[float]):
        _check_memory(len(steps), engine)
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
        engine.forget(key)


def _check_memory(steps: int, engine: Engine) -> None:
    each, memory = engine.record_nbytes, _physical_memory()
    left = int(0.7 * memory) - engine.recorded_nbytes
    if steps * each > left:
        raise SigeError(
            f"{steps} steps of this model keep {steps * each / 2**30:.1f} GiB of activations, and of this machine's"
            f" {memory / 2**30:.0f} GiB {max(left, 0) / 2**30:.1f} may be used: take at most {max(left, 0) // each}"
        )


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
