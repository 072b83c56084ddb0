"""Sessions with networks that make a picture at once: recorded on one original, run on edits of it."""

import time
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import from_model
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.result import DenseResult, EditResult, edit_result
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError

STEP = 0  # the only one

Given = TypeVar("Given")
"""What a session edits."""


class OnePassSession(ABC, Generic[Given]):
    """An original open for editing under a network of one input `x`, and what an engine keeps of its pass over it; a
    subclass says what it edits. Raises `SigeError` when a pass would not fit in memory."""

    def __init__(self, engine: Engine, given: Given):
        self.engine = engine
        self.given = given
        self.image: Picture | None = None
        """The picture of the original, once it is recorded."""
        self.pending: EditResult | None = None
        self._pending_given: Given | None = None
        self._recording = Recording(engine, [STEP])

    @abstractmethod
    def _input(self, given: Given) -> Any:
        """What the network reads."""

    def record(self, progress: Progress | None = None) -> Picture:
        """The picture of the original, recorded; the first edit does it when it was not done before."""
        if progress:
            progress("record", 0, 1)
        if self.image is None:
            self.image = from_model(self._recording.add(STEP, x=self._input(self.given)))
        if progress:
            progress("record", 1, 1)
        return self.image

    def commit(self) -> None:
        """Makes what the pending edit was of the original. What was recorded belongs to the old one and is dropped: the
        next edit records the new original first, densely. Raises `SigeError` when nothing is pending."""
        if self._pending_given is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.given = self._pending_given
        self.image = None
        self._recording.drop()
        self.revert()

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        self.pending = self._pending_given = None

    def _edit(self, edited: Given, mask: npt.NDArray[np.bool_], progress: Progress | None) -> EditResult:
        """The picture of `edited`, computed anew where `mask`, bool (H, W), says; pending from now on."""
        self.record(progress)
        x = self._input(edited)
        if progress:
            progress("edit", 0, 1)
        start = time.perf_counter()
        prepared = self.engine.prepare(mask)
        image = from_model(self.engine.edit(prepared, self._recording.key(STEP), x=x))
        seconds = time.perf_counter() - start
        if progress:
            progress("edit", 1, 1)
        self.pending = edit_result(self.engine, prepared, image, mask, 1, seconds, self._recording.dense_seconds)
        self._pending_given = edited
        return self.pending

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
