"""Editing a picture with a model of tokens: record the original once, then recompute only the tokens of each edit.

The original's own trajectory does not depend on an edit: its latents with one fixed noise, at every noise level (as in
SDEdit, Meng et al. 2022). An edit begins from the painted picture with the same noise, at the level that its strength
says, and computes active tokens alone; what they read of all others are the keys and values that were recorded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.editing.history import History, Past, Undoing
from sige_mlx.editing.images import Source
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult
from sige_mlx.editing.windows import Window, around, over
from sige_mlx.engine.recordings import Codec
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.pictures import ImageLike, Size
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.klein import Pipeline, Prompt
from sige_mlx.tokens.plan import Plan
from sige_mlx.tokens.result import Original, TokenResult, result_of
from sige_mlx.tokens.settings import STEPS, STRENGTH, TokenSettings
from sige_mlx.tokens.view import Latents, View

POLICY = EditPolicy(eps=0.01, dilation=5)
"""How the mask of an edit that brings none is made."""


class TokenSession(TokenSettings, Undoing[Original]):
    """A picture open for editing with a model of tokens.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of any size; or None, and then the model
    makes one of `size` (H, W) of the `prompt`, which is its first recording. A picture that is larger than `largest`
    pixels a side is edited in windows around the edits. `references` are pictures that the model reads beside it.
    `strength` in (0, 1] is the share of the `steps` that edits run, `seed` that of all noise. `precision` is what keys
    and values are kept in, by default the model's own, or int8 where memory has no room for that. `history` is how many
    bytes undoing may keep. Raises `SigeError` for arguments out of range, and for what will not fit into memory.

        from sige_mlx.tokens import klein

        session = sige_mlx.TokenSession(klein.load("flux2-tiny"), "sea.png", prompt="an island")
        result = session.edit("island.png")
        session.commit()
    """

    def __init__(
        self,
        pipeline: Pipeline,
        original: ImageLike | Source | None = None,
        *,
        prompt: str = "",
        size: Size | None = None,
        references: Sequence[ImageLike | Source] = (),
        steps: int = STEPS,
        strength: float = STRENGTH,
        seed: int = 0,
        precision: Codec | None = None,
        largest: int | None = None,
        eps: float | None = None,
        dilation: int | None = None,
        history: int | None = None,
        limit: int | None = None,
    ):
        super().__init__(pipeline, references, steps, strength, seed, precision, largest)
        self._history: History[Original] = History(lambda given: given.nbytes, history)
        self._view: View | None = None
        self.pending: TokenResult | None = None
        self._pending: Original | None = None
        self.note: Any = None
        made = None
        if original is None:
            if size is None or not prompt:
                raise SigeError("there is no original: give one, or a prompt and the size of a picture to make")
            made = Source.of(np.zeros((*size, 3), np.uint8), name="the original")
        source = made or Source.of(original, name="the original")  # type: ignore[arg-type]
        self.size = source.size
        self._seen = self.seen(self.size)
        plan = self.planned(self.size, limit)
        plan.check(limit)
        self._kept_in = self.precisions[self.precisions.index(plan.precision) :]
        self.given = Original(source, prompt, None, None)
        if made is not None and max(*self.size) > self.largest:
            raise SigeError(f"a picture of {self.size[1]}×{self.size[0]} is larger than {self.largest} pixels a side")
        self.generated = made is not None
        self._to_generate = made is not None
        self.reader = PictureReader(POLICY, self.size, eps, dilation)

    @property
    def source(self) -> Source:
        """The original with all that a file of it has."""
        return self.given.source

    @property
    def original(self) -> Picture:
        """(H, W, 3), sRGB."""
        return self.source.pixels

    @property
    def prompt(self) -> str:
        """That which is recorded."""
        return self.given.prompt

    @property
    def window(self) -> Window | None:
        """The one that was used last."""
        return self._view.window if self._view else None

    @property
    def recording_nbytes(self) -> int:
        """Bytes of the keys and values that are kept."""
        return self._view.engine.nbytes if self._view else 0

    def plan(self) -> Plan:
        """What it takes of memory."""
        return self.planned(self.size)

    def generate(self, progress: Progress | None = None) -> TokenResult:
        """The picture of the prompt, which is the original from now on, and is recorded."""
        if not self._to_generate:
            raise SigeError("the original is there already: edit it, or begin another session")
        start, view = time.perf_counter(), self._looked(over(self.size, self._seen))
        prompt = self.pipeline.prompt(self.prompt)
        latents, picture = view.decoded(view.generate(prompt, self._teller(progress, "record")))
        shown = view.window.carried(picture)
        self.given = Original(Source.of(shown.copy(), name="the original"), self.prompt, view.window, latents)
        self._to_generate = False
        everything = view.active(np.ones(self._seen, np.bool_), prompt, prompt)
        macs = self.pipeline.sizes.macs(everything, recorded=False) * self.steps
        region = np.ones(self.size, np.bool_)
        return result_of(self.source, region, everything, view, self.steps, macs, start, time.perf_counter())

    def record(self, progress: Progress | None = None) -> None:
        """Records what is missing of the original in the window used last; done by the first edit."""
        if self._to_generate:
            self.generate(progress)
        if self._view is None:
            if self.size != self._seen and over(self.size, self._seen).scale != 1:
                return
            self._look(over(self.size, self._seen))
        view, latents = self._current()
        view.record(latents, self.pipeline.prompt(self.prompt), self._teller(progress, "record"))

    def edit(
        self,
        edited: ImageLike | Source | None = None,
        mask: ImageLike | None = None,
        *,
        prompt: str | None = None,
        progress: Progress | None = None,
    ) -> TokenResult:
        """The picture edited where `mask` (white is edited) says, or where `edited` differs from the original, with the
        prompt that is recorded or another. It waits in `pending` until `commit` or `revert`."""
        if self._to_generate:
            self.generate(progress)
        painted = self._read(edited, mask)
        start = time.perf_counter()
        view, latents, was, now, active = self._asked(painted, prompt)
        of_edit = painted.region, active, view, len(view.steps)
        if active.empty:
            return self._waits(result_of(self.source, *of_edit, 0, start, start, painted.notes), None)
        view.record(latents, was, self._teller(progress, "record"))
        recorded = time.perf_counter()
        x0 = self._x0(painted, view, latents)
        self.revert()  # interrupted from here on, rows of two edits would lie over the record
        made = view.edit(x0, active, now, self._teller(progress, "edit"))
        changed, picture = view.replaced(latents, made, active)
        source = self._pasted(painted, view, picture)
        macs = self.pipeline.sizes.macs(active) * len(view.steps)
        result = result_of(source, *of_edit, macs, start, recorded, painted.notes)
        words = self.prompt if prompt is None else prompt
        return self._waits(result, Original(source, words, view.window, changed))

    def dense(
        self,
        edited: ImageLike | Source | None = None,
        mask: ImageLike | None = None,
        *,
        prompt: str | None = None,
        progress: Progress | None = None,
    ) -> DenseResult:
        """The same edit with nothing reused of the transformer: what `edit` is compared with. It waits nowhere."""
        painted, start = self._read(edited, mask), time.perf_counter()
        view, latents, _, now, active = self._asked(painted, prompt)
        if active.empty:
            return DenseResult(self.original, time.perf_counter() - start)
        x0 = self._x0(painted, view, latents)
        made = view.dense(x0, latents, active, now, self._teller(progress, "dense"))
        picture = self._pasted(painted, view, view.replaced(latents, made, active)[1]).pixels
        return DenseResult(picture, time.perf_counter() - start)

    def commit(self) -> None:
        """Makes the pending result the original, and its keys and values those that are recorded. Raises `SigeError`
        when nothing is pending."""
        if self.pending is None:
            raise SigeError("there is nothing to commit: call edit() first")
        if self._pending is not None:
            assert self._view
            past = self._past(self.given)
            past.changes |= self._view.commit()  # type: ignore[arg-type]
            self.given = self._pending
            self._history.committed(past)
        self.pending = self._pending = None

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        if self._view:
            self._view.engine.revert()
        self.pending = self._pending = None

    def undo(self) -> None:
        """Brings back the original before the last commit, with what was recorded of it. Where the history had no room
        for that it is recorded anew when it is needed."""
        self._undo(self._moved)

    def redo(self) -> None:
        """Does again what was undone last. Raises `SigeError` when there is nothing."""
        self._redo(self._moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the session into a file, with what is recorded and the originals that `undo` goes back to, as
        `EditSession.save` does."""
        from sige_mlx.tokens.saved import save

        save(self, path)

    @classmethod
    def open(cls, pipeline: Pipeline, path: str | os.PathLike[str], *, history: int | None = None) -> TokenSession:
        """The session that `save` wrote into a file. Raises `SigeError` for a file that is none, and for one of another
        model."""
        from sige_mlx.tokens.saved import opened

        return opened(pipeline, path, history)

    def _read(self, edited: ImageLike | Source | None, mask: ImageLike | None) -> Painted:
        if edited is None and mask is None:
            raise SigeError("there is no edit: give a mask, or a copy of the picture that was painted into")
        return self.reader.read(self.source, self.source if edited is None else edited, mask)

    def _x0(self, painted: Painted, view: View, latents: Latents) -> mx.array:
        """The tokens of the picture that was painted into."""
        before, after = view.window.seen(self.original), view.window.seen(painted.source.pixels)
        return view.painted(latents, before, after, view.window.touched(painted.region))

    def _asked(self, painted: Painted, prompt: str | None) -> tuple[View, Latents, Prompt, Prompt, ActiveTokens]:
        """Where an edit is seen, the prompt that is recorded and the edit's, and which tokens are active."""
        self._look(self._window_of(painted))
        view, latents = self._current()
        was = self.pipeline.prompt(self.prompt)
        now = was if prompt is None else self.pipeline.prompt(prompt)
        return view, latents, was, now, view.active(view.window.touched(painted.region), was, now)

    def _window_of(self, painted: Painted) -> Window:
        edit, last = extent(painted.region), self.window
        if edit is None or over(self.size, self._seen).scale == 1:
            return last or over(self.size, self._seen)
        return around(edit, self.size, self._seen)

    def _looked(self, window: Window) -> View:
        """The view of a window, with nothing in it."""
        first = self.steps - self.ran
        self._view = View(self.pipeline, window, self.references, self.steps, first, self.seed, self._kept_in)
        return self._view

    def _look(self, window: Window) -> None:
        """Has edits be made in a window; what was recorded in another is forgotten."""
        if self._view is not None and self._view.window == window and self.given.window == window:
            return
        self.revert()
        for past in (*self._history.undo, *self._history.redo):
            past.changes.clear()
        view = self._view if self._view and self._view.window == window else self._looked(window)
        view.engine.forget()
        latents = view.encoded(window.seen(self.original))
        self.given = self.given._replace(window=window, latents=latents)

    def _current(self) -> tuple[View, Latents]:
        assert self._view and self.given.latents
        return self._view, self.given.latents

    def _pasted(self, painted: Painted, view: View, rendered: Picture) -> Source:
        """The original with what the model made of an edit, where the edit is and nowhere else."""
        window, box = view.window, view.window.part
        before, after = self.source.part(box), painted.source.part(box)
        inside = box.of(painted.region)
        seen = window.seen(painted.source.pixels)
        result = window.carried(rendered, seen, after.pixels, before.pixels, inside)
        return self.source.patched(box, before.changed(result, inside, after))

    def _waits(self, result: TokenResult, given: Original | None) -> TokenResult:
        self.pending, self._pending = result, given
        return result

    def _past(self, given: Original) -> Past[Original]:
        return Past(given, Box(0, 0, *self.size), np.zeros((1, 1), np.bool_))

    def _moved(self, to: Past[Original]) -> Past[Original]:
        """Makes another original the one that is edited; returns what leads back."""
        self.revert()
        back = self._past(self.given)
        same = self._view is not None and to.given.window == self._view.window
        if same and to.changes and self._view:
            back.changes |= self._view.engine.exchange(to.changes)  # type: ignore[arg-type]
        elif self._view:
            self._view.engine.forget()
        self.given = to.given
        return back

    def _teller(self, progress: Progress | None, what: str) -> Any:
        total = self.ran if what != "record" or not self._to_generate else self.steps
        return (lambda done: progress(what, done, total)) if progress else lambda done: None
