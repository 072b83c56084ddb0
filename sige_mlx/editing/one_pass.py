"""Sessions with networks that make a picture at once: recorded on one original, run on edits of it. They see all of it,
in one window: what they make of it is wanted everywhere, and a part alone would come out otherwise."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sige_mlx.editing.base import Session
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.history import Given
from sige_mlx.editing.images import from_model
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult, edit_result, result_of_dense
from sige_mlx.editing.windows import Window
from sige_mlx.engine import Engine
from sige_mlx.masks.difference import Mask

STEP = 0  # the only one


class OnePassSession(Session[Given]):
    """An original open for editing under a network of one input `x`, which sees it through a window, and what an engine
    keeps of its pass over it; a subclass says what it edits."""

    def __init__(self, engine: Engine, given: Given, window: Window, history: int | None = None):
        super().__init__(engine, given, window.picture, [STEP], history)
        self._window = window
        self._views.use(window)

    @abstractmethod
    def _input(self, seen: Any) -> Any:
        """What the network reads."""

    @abstractmethod
    def _enlarged(self, given: Given, made: Picture) -> Picture:
        """A picture of the original's size, by what the network made of the window."""

    def _inputs(self, seen: Any, step: float) -> Mapping[str, Any]:
        return {"x": self._input(seen)}

    @property
    def image(self) -> Picture | None:
        """The picture of the original, once it is recorded."""
        self.settle()
        return self._enlarged(self.given, from_model(self._recording.output(STEP))) if self.recorded else None

    def record(self, progress: Progress | None = None) -> Picture:
        """The picture of the original, recorded; the first edit does it when it was not done before."""
        with self._access.first():
            self.settle(progress)
            super().record(progress)
            image = self.image
        assert image is not None
        return image

    def _edit(self, edited: Given, mask: Mask, whole: Mask, progress: Progress | None, once: bool) -> EditResult:
        """The picture of `edited`, computed anew where `mask`, bool (H, W) of the network's pixels, says, and `whole`
        of the original's; pending from now on."""
        with self._access.first():
            if once and self._dense_is_cheaper(planned := self.engine.plan(mask)):
                result = result_of_dense(self.engine, planned, self._dense(edited, progress), whole, 1)
            else:
                start = time.perf_counter()
                super().record(progress)
                if self._recording.overdue(mask):
                    self.settle(progress)
                recorded = time.perf_counter()
                x = self._input(self._seen(edited, self._window))
                if progress:
                    progress("edit", 0, 1)
                begun = time.perf_counter()
                key = self._recording.key(STEP)
                prepared = self._recording.prepare(STEP, mask, {"x": x})
                image = self._enlarged(edited, from_model(self.engine.edit(prepared, key, x=x)))
                seconds = time.perf_counter() - begun
                if progress:
                    progress("edit", 1, 1)
                taken = (seconds, self._recording.dense_seconds, recorded - start)
                result = edit_result(self.engine, prepared, image, whole, 1, prepared.macs, *taken)
        return self._waits(replace(result, window=self._window), edited)

    def _dense(self, edited: Given, progress: Progress | None) -> DenseResult:
        """The picture of `edited` with nothing reused."""
        x = self._input(self._seen(edited, self._window))
        if progress:
            progress("dense", 0, 1)
        start = time.perf_counter()
        image = self._enlarged(edited, from_model(self.engine(x=x)))
        seconds = time.perf_counter() - start
        if progress:
            progress("dense", 1, 1)
        return DenseResult(image, seconds)
