"""One session: recorded by the codec that the budget asks for, edited, committed, edited again and undone."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.against.task import Task
from benchmarks.against.worker import Worker
from benchmarks.session.passes import Passes
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.benchmark.workload import engine_for
from sige_mlx.engine import Change, Codec, Engine, Kept
from sige_mlx.engine.recordings import GIB
from sige_mlx.metrics import psnr

SMALL = GIB
"""The budget under which waiting on the disk is measured."""


@dataclass(frozen=True)
class Disk:
    """A recording under a small budget, and the seconds of edits whose steps are read from the disk anew."""

    kept: Kept
    edits: list[float]


@dataclass(frozen=True)
class Session:
    """What one session took; seconds are of all its passes."""

    model: str
    steps: int
    edited: float
    threshold: int
    threads: int
    codec: Codec
    kept: Kept
    resident: int
    """Bytes that recording added to the process's own memory."""
    recording: float
    db: float
    """Of the edited picture in the mask, against that of a float32 recording."""
    edits: list[float]
    commits: list[float]
    nexts: list[float]
    undos: list[float]
    change: int
    """Bytes that undoing a commit keeps."""
    disk: Disk | None
    peer: float | None
    """Seconds of the peer's own way: at every step it records, and edits."""

    @property
    def cycle(self) -> float:
        """Edit, commit and next edit as a multiple of one edit, at the fastest of each."""
        return (min(self.edits) + min(self.commits) + min(self.nexts)) / min(self.edits)

    @property
    def undo(self) -> float:
        """Undoing as a part of one edit."""
        return min(self.undos) / min(self.edits)

    @property
    def waiting(self) -> float | None:
        """How much longer an edit takes under the small budget, as a part of one."""
        return None if self.disk is None else min(self.disk.edits) / min(self.edits) - 1


def measure(task: Task, steps: int, rounds: int, budget: int | None, disk: bool, progress: Progress) -> Session:
    """Measures a session; raises `SigeError` as engines and peers do."""
    engine = engine_for(task.model, "cpu", task.threads, not task.own_weights, task.threshold)
    engine.recordings.budget = budget
    passes = Passes(engine, steps, task.seed)
    first, second = (
        blob_mask(engine.image_size, task.percent, engine.policy.dilation, task.seed + i) for i in range(2)
    )
    codec = engine.recordings.check(passes.count)
    mx.eval(passes.painted(passes.x0, first), engine(**passes.inputs(0, passes.x0)))
    before = _resident()
    db, recording = _recorded(engine, passes, first, codec, progress)
    kept, resident = engine.recordings.kept, _resident() - before
    runs = _Runs(engine, passes, first, second)
    for done in range(rounds + 1):
        progress("edit", done, rounds + 1)
        runs.round(keep=done > 0)
    progress("edit", 1, 1)
    small = _on_disk(engine, passes, first, rounds, progress) if disk else None
    peer = None
    if task.sige:
        with closing(Worker("sige", task)) as worker:
            for call in ("record", "edit"):  # which warms up
                worker.run(call)
            taken = {call: median(worker.run(call) for _ in range(rounds)) for call in ("record", "edit")}
        peer = passes.count * (taken["record"] + taken["edit"])
    return Session(
        model=task.model,
        steps=passes.count,
        edited=float(first.mean()),
        threshold=engine.policy.tiles_from,
        threads=task.threads,
        codec=codec,
        kept=kept,
        resident=resident,
        recording=recording,
        db=db,
        edits=runs.seconds["edit"],
        commits=runs.seconds["commit"],
        nexts=runs.seconds["next"],
        undos=runs.seconds["undo"],
        change=runs.change,
        disk=small,
        peer=peer,
    )


def _recorded(
    engine: Engine, passes: Passes, mask: np.ndarray, codec: Codec, progress: Progress
) -> tuple[float, float]:
    """Records all passes, and edits by each recording and by one in float32, which is gone then. Returns the PSNR of
    one picture against the other in the mask, and the seconds of recording."""
    prepared = engine.prepare(mask)
    seconds = 0.0

    def kept(i: int, x: mx.array) -> mx.array:
        nonlocal seconds
        progress("record", i, passes.count)
        given = passes.inputs(i, passes.noised(i, passes.x0))
        mx.eval(given)
        engine.recordings.codec = codec
        start = time.perf_counter()
        engine.record(i, **given)
        seconds += time.perf_counter() - start
        return engine.edit(prepared, i, **passes.inputs(i, x))

    def exact(i: int, x: mx.array) -> mx.array:
        budget, engine.recordings.budget = engine.recordings.budget, 2**63  # one step, for a moment
        engine.recordings.codec = "float32"
        engine.record_for(prepared, "exact", **passes.inputs(i, passes.noised(i, passes.x0)))
        engine.recordings.budget = budget
        output = engine.edit(prepared, "exact", **passes.inputs(i, x))
        engine.recordings.forget("exact")
        return output

    found, wanted = passes.edit(passes.x0, passes.painted(passes.x0, mask), mask, kept, exact)
    progress("record", 1, 1)
    return float(psnr(np.asarray(found)[0], np.asarray(wanted)[0], 2.0, mask)), seconds


class _Runs:
    """Rounds of an edit, a commit of what it gave, an edit of the new original elsewhere, and undoing."""

    def __init__(self, engine: Engine, passes: Passes, first: np.ndarray, second: np.ndarray):
        self.engine, self.passes = engine, passes
        self.first, self.second = first, second
        self.seconds: dict[str, list[float]] = {what: [] for what in ("edit", "commit", "next", "undo")}
        self.change = 0

    def round(self, keep: bool) -> None:
        passes, engine = self.passes, self.engine
        result = self._timed("edit", keep, lambda: self._edit(passes.x0, self.first))
        anew = mx.where(mx.array(self.first)[None, ..., None], result, passes.x0) if passes.denoising else passes.x0
        changes = self._timed("commit", keep, lambda: self._commit(anew))
        self.change = sum(change.nbytes for change in changes)
        self._timed("next", keep, lambda: self._edit(anew, self.second))
        self._timed("undo", keep, lambda: [engine.swap(i, change) for i, change in enumerate(changes)])

    def _edit(self, x0: mx.array, mask: np.ndarray) -> mx.array:
        prepared = self.engine.prepare(mask)

        def network(i: int, x: mx.array) -> mx.array:
            return self.engine.edit(prepared, i, **self.passes.inputs(i, x))

        return self.passes.edit(x0, self.passes.painted(x0, mask), mask, network)[0]

    def _commit(self, anew: mx.array) -> list[Change]:
        prepared, passes = self.engine.prepare(self.first), self.passes
        anew = anew if passes.denoising else passes.painted(passes.x0, self.first)
        return [
            self.engine.commit(prepared, i, **passes.inputs(i, passes.noised(i, anew)))[1] for i in range(passes.count)
        ]

    def _timed(self, what: str, keep: bool, run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        if keep:
            self.seconds[what].append(time.perf_counter() - start)
        return result


def _on_disk(engine: Engine, passes: Passes, mask: np.ndarray, rounds: int, progress: Progress) -> Disk:
    """Records under the small budget, and edits; the system has forgotten what is in the files."""
    engine.recordings.forget()
    engine.recordings.budget = SMALL
    engine.recordings.check(passes.count)
    for i in range(passes.count):
        progress("disk", i, passes.count)
        engine.record(i, **passes.inputs(i, passes.noised(i, passes.x0)))
    runs = _Runs(engine, passes, mask, mask)
    seconds = []
    for _ in range(rounds + 1):
        for i in range(passes.count):
            file = engine.recordings.of(i).record.file
            if file is not None:
                os.fsync(file.file.fileno())
                os.posix_fadvise(file.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        runs._edit(passes.x0, mask)
        seconds.append(time.perf_counter() - start)
    progress("disk", 1, 1)
    return Disk(engine.recordings.kept, seconds[1:])


def _resident() -> int:
    """Bytes of the process's memory that are its own, and not a file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0
