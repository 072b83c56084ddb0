"""What an engine keeps for one session."""

from __future__ import annotations

import statistics
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from sige_mlx.engine import Change, Codec, Engine, Kept, PreparedEdit
from sige_mlx.masks.difference import Mask

Progress = Callable[[str, int, int], None]
"""Called with (what, steps done, steps in all); what is "record", "edit", "dense", "commit" or "refresh"."""

Inputs = Callable[[float], Mapping[str, Any]]
"""What the network reads at a step."""


class Recording:
    """Recorded passes over an original, one for each of `steps`. An engine may serve several sessions: what it keeps
    for this one has names of its own, and goes with the session."""

    def __init__(self, engine: Engine, steps: Sequence[float]):
        self._engine = engine
        self._name = object()
        self.steps = steps
        self.lock = threading.RLock()
        """Held by whoever reads or changes what is recorded."""
        self.idle = threading.Event()
        """Set while no edit waits or runs: work in the background goes on then."""
        self.idle.set()
        self._busy = 0
        self._counting = threading.Lock()
        self._seconds: dict[float, float] = {}
        self._exact: dict[float, object] = {}
        self.stored: dict[float, Callable[[], bool]] = {}
        """Takes a step out of a file, and returns whether that could be done; by step, of those that are in one."""
        weakref.finalize(self, _forget, engine, [self.key(step) for step in steps])

    def __contains__(self, step: float) -> bool:
        return step in self._exact

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

    @property
    def missing(self) -> list[float]:
        """The steps that are not recorded."""
        return [step for step in self.steps if step not in self and step not in self.stored]

    @property
    def stale(self) -> list[float]:
        """The steps whose record came out of commits: recorded anew it would be a little more exact."""
        return [
            step for step, state in self._exact.items() if self._engine.recordings.of(self.key(step)).state is not state
        ]

    def check(self) -> None:
        """Has the engine choose how the steps that are missing are kept. Raises `SigeError` when they would not fit."""
        if self.missing:
            self._engine.recordings.check(len(self.missing))

    def key(self, step: float) -> Hashable:
        """What the engine knows a step by."""
        return self._name, step

    def add(self, step: float, inputs: Inputs) -> mx.array:
        """Records a step, in place of what was recorded of it; gives its dense output."""
        given = {name: mx.array(x) for name, x in inputs(step).items()}
        mx.eval(given)
        start = time.perf_counter()
        self._exact.pop(step, None)
        self.stored.pop(step, None)
        output = self._engine.record(self.key(step), **given)
        self._seconds[step] = time.perf_counter() - start
        self._exact[step] = self._engine.recordings.of(self.key(step)).state
        return output

    def restore(self, step: float, codec: Codec, arrays: Sequence[Any], exact: bool, **conditions: Any) -> None:
        """Keeps what `Engine.stored` gave."""
        self._engine.restore(self.key(step), codec, arrays, **conditions)
        self._exact[step] = self._engine.recordings.of(self.key(step)).state if exact else object()

    def take(self, step: float) -> bool:
        """Takes a step out of a file if it is in one and was not recorded since; returns whether it is recorded now."""
        found = self.stored.pop(step, None)
        return step in self or (found is not None and found())

    def take_all(self) -> None:
        """Takes all steps that are in a file out of it."""
        for step in [*self.stored]:
            self.take(step)

    def output(self, step: float) -> mx.array:
        """The output that is recorded of a step."""
        return self._engine.executor.output(self._engine.recordings.of(self.key(step)).record)

    def moved(
        self,
        region: Mask,
        inputs: Inputs,
        before: dict[float, Change],
        tell: Callable[[int], None] = lambda done: None,
    ) -> dict[float, Change]:
        """Carries what is recorded over to another original, which differs in a region (H, W): by swapping back
        the changes that are there and fit, else by an edit's work. Returns the changes that lead back. All steps are
        carried over, or none."""
        back: dict[float, Change] = {}
        prepared: PreparedEdit | None = None
        try:
            for step in self.steps:
                tell(len(back))
                if not self.take(step):
                    continue
                key, change = self.key(step), before.get(step)
                if change and change.after is self._engine.recordings.of(key).state:
                    back[step] = self._engine.swap(key, change)
                else:
                    prepared = prepared or self._engine.prepare(region)
                    prepared = self._engine.grown(prepared, key, **inputs(step))
                    _, back[step] = self._engine.commit(prepared, key, **inputs(step))
        except BaseException:
            for step, change in back.items():
                again = self._engine.swap(self.key(step), change)
                if step in before:
                    before[step] = again
            raise
        return back

    def drop(self) -> None:
        """Forgets all steps."""
        self._seconds.clear()
        self.stored.clear()
        self._exact.clear()
        _forget(self._engine, map(self.key, self.steps))

    @property
    def kept(self) -> Kept:
        """Bytes that it keeps, by where they are."""
        of = [self._engine.recordings.of(self.key(step)).record.kept for step in [*self._exact]]
        return Kept(sum(kept.memory for kept in of), sum(kept.disk for kept in of))

    @property
    def dense_seconds(self) -> float | None:
        """What dense passes of all steps take, by the median of those recorded; None when there are none."""
        return statistics.median(self._seconds.values()) * len(self.steps) if self._seconds else None


def _forget(engine: Engine, keys: Iterable[Hashable]) -> None:
    for key in keys:
        engine.recordings.forget(key)
