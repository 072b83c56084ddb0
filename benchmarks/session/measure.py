"""One session: recorded by the codec that the budget asks for, edited, committed, edited again and undone."""

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import mlx.core as mx
import numpy as np

from benchmarks.against.task import Task
from benchmarks.against.worker import Worker
from benchmarks.session.passes import Network, Passes
from benchmarks.session.scene import Call, Scene
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.benchmark.workload import engine_for
from sige_mlx.engine import Codec, Engine, Kept
from sige_mlx.engine.recordings import GIB
from sige_mlx.masks.difference import Mask
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
    """What one session took; seconds are of a user's calls, with all passes that these make."""

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
    calls: dict[Call, list[float]]
    change: int
    """Bytes that undoing a commit keeps."""
    disk: Disk | None
    peer: float | None
    """Seconds of the peer's own way: at every step it records, and edits."""

    def fastest(self, call: Call) -> float:
        """Seconds of the fastest one."""
        return min(self.calls[call])

    def _in_edits(self, *calls: Call) -> float:
        """Seconds of these, the fastest of each, as a multiple of one edit."""
        return sum(self.fastest(call) for call in calls) / self.fastest("edit")

    @property
    def cycle(self) -> float:
        """Edit, commit and next edit, one right after the other, as a multiple of one edit, at the fastest of each."""
        return self._in_edits("edit", "commit", "next")

    @property
    def settled(self) -> float:
        """The same with idle time before the next edit, in which the commit is settled, without that time."""
        return self._in_edits("edit", "commit", "later")

    @property
    def undo(self) -> float:
        """Undoing a settled commit as a part of one edit."""
        return self._in_edits("undo")

    @property
    def waiting(self) -> float | None:
        """How much longer an edit takes under the small budget, as a part of one."""
        return None if self.disk is None else min(self.disk.edits) / self.fastest("edit") - 1


def measure(task: Task, steps: int, rounds: int, budget: int | None, disk: bool, progress: Progress) -> Session:
    """Measures a session; raises `SigeError` as engines and peers do."""
    engine = engine_for(task.model, "cpu", task.threads, not task.own_weights, task.threshold)
    engine.recordings.budget = budget
    passes = Passes(engine, steps, task.seed)
    first, second = (
        blob_mask(engine.image_size, task.percent, engine.policy.dilation, task.seed + i) for i in range(2)
    )
    codec = engine.recordings.check(passes.count)
    db = _likeness(engine, passes, first, codec, progress)
    scene = Scene(engine, passes, (first, second))
    before = _resident()
    recording = scene.record(progress)
    kept, resident = engine.recordings.kept, _resident() - before
    for done in range(rounds + 1):
        progress("edit", done, rounds + 1)
        scene.round(timed=done > 0)
    progress("edit", 1, 1)
    calls, change = scene.calls, scene.change
    del scene  # and what it recorded
    small = _on_disk(engine, passes, (first, second), rounds, progress) if disk else None
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
        calls=calls,
        change=change,
        disk=small,
        peer=peer,
    )


def _likeness(engine: Engine, passes: Passes, mask: Mask, codec: Codec, progress: Progress) -> float:
    """PSNR in the mask of a picture that is edited with recordings by a codec, against the one with recordings in
    float32. Of each step there is one of either, for as long as it is needed."""
    prepared = engine.prepare(mask)

    def by(codec: Codec) -> Network:
        def edited(i: int, x: mx.array) -> mx.array:
            progress("likeness", i, passes.count)
            engine.recordings.codec = codec
            engine.record(codec, **passes.inputs(i, passes.noised(i, passes.x0)))
            return engine.edit(prepared, codec, **passes.inputs(i, x))

        return edited

    budget, engine.recordings.budget = engine.recordings.budget, 2**63
    found, wanted = passes.edit(mask, by(codec), by("float32"))
    engine.recordings.forget()
    engine.recordings.budget = budget
    progress("likeness", 1, 1)
    return float(psnr(np.asarray(found)[0], np.asarray(wanted)[0], 2.0, mask))


def _on_disk(engine: Engine, passes: Passes, masks: tuple[Mask, Mask], rounds: int, progress: Progress) -> Disk:
    """Records under the small budget, and edits; the system has forgotten what is in the files."""
    engine.recordings.budget = SMALL
    scene = Scene(engine, passes, masks)
    scene.record(progress, "disk")
    seconds = []
    for _ in range(rounds + 1):
        for recorded in scene.recorded:
            if file := recorded.record.file:
                os.fsync(file.file.fileno())
                os.posix_fadvise(file.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        seconds.append(scene.edit())
    progress("disk", 1, 1)
    return Disk(engine.recordings.kept, seconds[1:])


def _resident() -> int:
    """Bytes of the process's memory that are its own, and not a file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0
