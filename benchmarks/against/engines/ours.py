"""This project's native engine."""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.against.task import Call, Calls, Task


def load(task: Task) -> Calls:
    everywhere = replace(task.policy, output="everywhere")  # as SIGE does
    engine = task.pretrained.engine("cpu", everywhere, threads=task.threads)
    sparse = task.pretrained.engine("cpu", task.policy, threads=task.threads)
    original: dict[str, Any] = {"x": task.original, **task.conditions}
    edited: dict[str, Any] = {"x": task.edited, **task.conditions}
    engine.record(**original)
    sparse.record(**original)
    prepared, tiles_only = engine.prepare(task.mask), sparse.prepare(task.mask)

    def prepare() -> None:
        engine.prepare(task.mask)

    return {
        "dense": Call(lambda: np.asarray(engine(**edited))),
        "record": Call(lambda: np.asarray(engine.record(**original))),
        "prepare": Call(prepare),
        "edit": Call(lambda: np.asarray(engine.edit(prepared, **edited))),
        "edit, tiles only": Call(lambda: np.asarray(sparse.edit(tiles_only, **edited))),
    }
