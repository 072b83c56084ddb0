"""Networks that make a picture at once: recorded on one input, run on edits of it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.images import Picture, from_model
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.result import DenseResult, EditResult, edit_result
from sige_mlx.engine import Engine

STEP = 0  # the only one


class OnePass:
    """A network of one input `x`, and what an engine keeps of its pass over the original. Raises `SigeError` when that
    would not fit in memory."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.image: Picture | None = None
        """The picture of the original, once it is recorded."""
        self._recording = Recording(engine, [STEP])

    def record(self, original: Callable[[], Any], progress: Progress | None = None) -> Picture:
        """The picture of the original, recorded unless it is already; `original` makes the network's input of it."""
        if progress:
            progress("record", 0, 1)
        if self.image is None:
            self.image = from_model(self._recording.add(STEP, x=original()))
        if progress:
            progress("record", 1, 1)
        return self.image

    def edit(self, x: Any, mask: npt.NDArray[np.bool_], progress: Progress | None = None) -> EditResult:
        """The picture of an edited input, computed anew where `mask`, bool (H, W), says."""
        if progress:
            progress("edit", 0, 1)
        start = time.perf_counter()
        prepared = self.engine.prepare(mask, everywhere=False)
        image = from_model(self.engine.edit(prepared, self._recording.key(STEP), x=x))
        seconds = time.perf_counter() - start
        if progress:
            progress("edit", 1, 1)
        return edit_result(self.engine, prepared, image, mask, 1, seconds, self._recording.dense_seconds)

    def dense(self, x: Any, progress: Progress | None = None) -> DenseResult:
        """The picture of an input with nothing reused."""
        if progress:
            progress("dense", 0, 1)
        start = time.perf_counter()
        image = from_model(self.engine(x=x))
        seconds = time.perf_counter() - start
        if progress:
            progress("dense", 1, 1)
        return DenseResult(image, seconds)

    def drop(self) -> None:
        """Forgets the original."""
        self.image = None
        self._recording.drop()
