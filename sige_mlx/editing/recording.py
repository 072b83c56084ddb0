"""What an engine keeps for one session."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from sige_mlx.engine import Change, Codec, Engine, Kept, PreparedEdit
from sige_mlx.masks.difference import Mask

Progress = Callable[[str, int, int], None]
"""Called with (what, steps done, steps in all); what is "record", "edit", "dense", "commit" or "refresh"."""

Inputs = Callable[[float], Mapping[str, Any]]
"""What the network reads at a step."""


Changes = dict[Hashable, Change]
"""What `Engine.swap` takes, by what the engine knows a step by."""


class Move(NamedTuple):
    """Where an original became another one."""

    region: Mask
    """In the picture's own pixels. It is known by what it is, not by its values."""
    seen: Mask
    """In those of the network, (H, W)."""


class Recording:
    """Recorded passes over what a window shows of an original, one for each of `steps`. An engine may serve several
    windows and sessions: what it keeps for this one has names of its own, and goes with it."""

    def __init__(self, engine: Engine, steps: Sequence[float]):
        self._engine = engine
        self._name = object()
        self.steps = steps
        self._seconds: dict[float, float] = {}
        self._exact: dict[float, object] = {}
        self._moves: dict[float, tuple[Move, ...]] = {}
        """By step, of those whose record is that of an earlier original: the moves since."""
        self._prepared: tuple[tuple[Mask, ...], PreparedEdit] | None = None
        self._spent = 0
        self.stored: dict[float, Callable[[], bool]] = {}
        """Takes a step out of a file, and returns whether that could be done; by step, of those that are in one."""
        weakref.finalize(self, _forget, engine, [self.key(step) for step in steps])

    def __contains__(self, step: float) -> bool:
        return step in self._exact

    @property
    def missing(self) -> list[float]:
        """The steps that are not recorded."""
        return [step for step in self.steps if step not in self and step not in self.stored]

    @property
    def stale(self) -> list[float]:
        """The steps that were not recorded on this original: recorded anew they would be a little more exact."""
        of = self._engine.recordings.of
        return [
            step
            for step, state in self._exact.items()
            if self._moves.get(step) or of(self.key(step)).state is not state
        ]

    @property
    def behind(self) -> list[float]:
        """The steps whose record is that of an earlier original."""
        return [step for step in self.steps if self._moves.get(step)]

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
        self._moves.pop(step, None)
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

    def prepare(self, step: float, region: Mask, given: Mapping[str, Any]) -> PreparedEdit:
        """The edit of a region (H, W) of the original as it is now, with these inputs, and of all in which the record
        of a step is behind it."""
        return self._edit_of(step, (region, *(move.seen for move in self._moves.get(step, ()))), given)

    def _edit_of(self, step: float, regions: tuple[Mask, ...], given: Mapping[str, Any]) -> PreparedEdit:
        """The edit of all these regions. The last one is kept, as it has grown: steps want the same one after
        another."""
        known, prepared = self._prepared or ((), None)
        if prepared is None or [*map(id, known)] != [*map(id, regions)]:
            prepared = self._engine.prepare(np.any(regions, axis=0))
        prepared = self._engine.grown(prepared, self.key(step), **given)
        self._prepared = regions, prepared
        return prepared

    def overdue(self, region: Mask) -> bool:
        """Notes how much more an edit of a region computes because steps are behind. Once edits together would compute
        more than it takes to settle them, that is to be done first."""
        moves = [move.seen for step in self.behind for move in self._moves[step]]
        if not moves:
            self._spent = 0
            return False
        macs, tiling = self._engine.lowered.macs, self._engine.lowered.tiling
        behind: Mask = np.any(moves, axis=0)
        self._spent += macs(tiling(region | behind)) - macs(tiling(region))
        return self._spent > macs(tiling(behind))

    def moved(self, move: Move, before: Changes, tell: Callable[[int], None] = lambda done: None) -> Changes:
        """Tells that the original is another one now. Swaps the changes back that are there and fit; steps without them
        are behind. Returns the changes that lead back. This is done for all steps, or for none."""
        back: Changes = {}
        moves = dict(self._moves)
        try:
            for done, step in enumerate(self.steps):
                tell(done)
                key = self.key(step)
                known, change = moves.get(step, ()), before.get(key)
                if known and known[-1].region is move.region:
                    self._moves[step] = known[:-1]
                elif not known and change and change.after is self._engine.recordings.of(key).state:
                    back[key] = self._engine.swap(key, change)
                elif step in self or step in self.stored:
                    self._moves[step] = (*known, move)
            tell(len(self.steps))
        except BaseException:
            self._moves = moves
            for key, change in back.items():
                before[key] = self._engine.swap(key, change)
            raise
        return back

    def settle(self, step: float, inputs: Inputs) -> tuple[Mask, Change] | None:
        """Carries a step that is behind over to the original, by an edit's work. Returns the change that leads back and
        where the original had changed; None when it had so more than once."""
        moves = self._moves.get(step, ())
        if not moves or not self.take(step):
            self._moves.pop(step, None)
            return None
        given = inputs(step)
        prepared = self._edit_of(step, tuple(move.seen for move in moves), given)
        _, change = self._engine.commit(prepared, self.key(step), **given)
        del self._moves[step]
        return (moves[0].region, change) if len(moves) == 1 else None

    def drop(self) -> None:
        """Forgets all steps."""
        for known in (self._seconds, self.stored, self._exact, self._moves):
            known.clear()
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
