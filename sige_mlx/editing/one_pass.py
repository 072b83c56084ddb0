"""Sessions with networks that make a picture at once: recorded on one original, run on edits of it."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.base import Session
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.history import Given
from sige_mlx.editing.images import from_model
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult, edit_result, result_of_dense
from sige_mlx.engine import Engine

STEP = 0  # the only one


class OnePassSession(Session[Given]):
    """An original open for editing under a network of one input `x`, and what an engine keeps of its pass over it; a
    subclass says what it edits."""

    def __init__(self, engine: Engine, given: Given, history: int | None = None):
        super().__init__(engine, given, [STEP], history)

    @abstractmethod
    def _input(self, given: Given) -> Any:
        """What the network reads."""

    def _inputs(self, given: Given, step: float) -> Mapping[str, Any]:
        return {"x": self._input(given)}

    @property
    def image(self) -> Picture | None:
        """The picture of the original, once it is recorded."""
        self.settle()
        return from_model(self._recording.output(STEP)) if self.recorded else None

    def record(self, progress: Progress | None = None) -> Picture:
        """The picture of the original, recorded; the first edit does it when it was not done before."""
        with self._recording.first():
            self.settle(progress)
            super().record(progress)
            image = self.image
        assert image is not None
        return image

    def _edit(self, edited: Given, mask: npt.NDArray[np.bool_], progress: Progress | None, once: bool) -> EditResult:
        """The picture of `edited`, computed anew where `mask`, bool (H, W), says; pending from now on."""
        with self._recording.first():
            if once and self._dense_is_cheaper(planned := self.engine.plan(mask)):
                result = result_of_dense(self.engine, planned, self._dense(edited, progress), mask, 1)
            else:
                start = time.perf_counter()
                super().record(progress)
                if self._recording.overdue(mask):
                    self.settle(progress)
                recorded = time.perf_counter()
                x = self._input(edited)
                if progress:
                    progress("edit", 0, 1)
                begun = time.perf_counter()
                key = self._recording.key(STEP)
                prepared = self._recording.prepare(STEP, mask, {"x": x})
                image = from_model(self.engine.edit(prepared, key, x=x))
                seconds = time.perf_counter() - begun
                if progress:
                    progress("edit", 1, 1)
                taken = (seconds, self._recording.dense_seconds, recorded - start)
                result = edit_result(self.engine, prepared, image, mask, 1, prepared.macs, *taken)
        return self._waits(result, edited)

    def _dense(self, edited: Given, progress: Progress | None) -> DenseResult:
        """The picture of `edited` with nothing reused."""
        x = self._input(edited)
        if progress:
            progress("dense", 0, 1)
        start = time.perf_counter()
        image = from_model(self.engine(x=x))
        seconds = time.perf_counter() - start
        if progress:
            progress("dense", 1, 1)
        return DenseResult(image, seconds)
