"""This project's native engine."""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.against.task import Call, Calls, Task


def load(task: Task) -> Calls:
    engine = task.pretrained.engine("cpu", task.policy, threads=task.threads)
    everywhere = task.pretrained.engine("cpu", replace(task.policy, output="everywhere"), threads=task.threads)
    original: dict[str, Any] = {"x": task.original, **task.conditions}
    edited: dict[str, Any] = {"x": task.edited, **task.conditions}
    engine.record(**original)
    everywhere.record(**original)
    prepared, prepared_everywhere = engine.prepare(task.mask), everywhere.prepare(task.mask)

    def prepare() -> None:
        engine.prepare(task.mask)

    return {
        "dense": Call(lambda: np.asarray(engine(**edited))),
        "record": Call(lambda: np.asarray(engine.record(**original))),
        "prepare": Call(prepare),
        "edit": Call(lambda: np.asarray(engine.edit(prepared, **edited))),
        # As SIGE does: the last convolution computes every pixel, also those that the edit leaves as they are.
        "edit, output everywhere": Call(lambda: np.asarray(everywhere.edit(prepared_everywhere, **edited))),
    }
