"""This project's native engine."""

from typing import Any

import numpy as np

from benchmarks.against.task import Call, Calls, Task


def load(task: Task) -> Calls:
    engine = task.pretrained.engine("cpu", threads=task.threads)
    original: dict[str, Any] = {"x": task.original, **task.conditions}
    edited: dict[str, Any] = {"x": task.edited, **task.conditions}
    engine.record(**original)
    everywhere, tiles_only = engine.prepare(task.mask), engine.prepare(task.mask, everywhere=False)

    def prepare() -> None:
        engine.prepare(task.mask)

    return {
        "dense": Call(lambda: np.asarray(engine(**edited))),
        "record": Call(lambda: np.asarray(engine.record(**original))),
        "prepare": Call(prepare),
        "edit": Call(lambda: np.asarray(engine.edit(everywhere, **edited))),
        "edit, tiles only": Call(lambda: np.asarray(engine.edit(tiles_only, **edited))),
    }
