"""This project's native engine."""

import numpy as np

from benchmarks.against.task import Call, Calls, Task


def load(task: Task) -> Calls:
    engine = task.pretrained.engine("cpu", threads=task.threads)
    t = np.array([task.timestep], np.float32)
    engine.record(x=task.original, t=t)
    everywhere, tiles_only = engine.prepare(task.mask), engine.prepare(task.mask, everywhere=False)

    def prepare() -> None:
        engine.prepare(task.mask)

    return {
        "dense": Call(lambda: np.asarray(engine(x=task.edited, t=t))),
        "record": Call(lambda: np.asarray(engine.record(x=task.original, t=t))),
        "prepare": Call(prepare),
        "edit": Call(lambda: np.asarray(engine.edit(everywhere, x=task.edited, t=t))),
        "edit, tiles only": Call(lambda: np.asarray(engine.edit(tiles_only, x=task.edited, t=t))),
    }
