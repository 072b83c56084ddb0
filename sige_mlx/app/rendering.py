"""The thread in which networks run: one model and one session at a time, which follow what the document has become."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from sige_mlx.app.by_tokens import TokenEditing, TokenModel, bits_for
from sige_mlx.app.history import Packed
from sige_mlx.app.results import MOST_TILES, Figures, Found, Settings
from sige_mlx.app.subjects import Canvas, Given, Part, Subject, size_of
from sige_mlx.editing.background import Background
from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.opening import AnySession, Model, load
from sige_mlx.editing.result import EditResult
from sige_mlx.errors import SigeError, first_line
from sige_mlx.token_models import MODELS

REST = 0.2
"""Seconds in which nothing was asked for, until what is missing is recorded: what is on its way to a page is first."""


class Cancelled(Exception):
    """Nobody wants the render any more."""


@dataclass(eq=False)
class Request:
    """A canvas to render, or without one an original of which it is to be known what the network makes of it."""

    seq: int
    document: object
    """Which document it is."""
    subject: Subject
    given: Given
    version: object
    """That of the original."""
    settings: Settings
    canvas: Canvas | None = None
    base: Picture | None = None
    seeds: tuple[int | None, ...] = (None,)
    cause: Any = None
    """For whoever asked."""
    asked: float = field(default_factory=time.perf_counter)
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class Answer:
    """What is told of a request: progress, or in the end one of the others, none where it was cancelled."""

    request: Request
    progress: tuple[str, int, int, int | None] | None = None
    """What, step, steps and seed."""
    picture: Picture | None = None
    """What a network makes of the original."""
    found: list[Found] | None = None
    error: str = ""


class Renderer:
    """Renders requests one after another, and tells of them in its own thread. `memory` is how many bytes recordings
    may take, None for what an engine takes by itself. With `background` what is missing is recorded while nobody asks
    for anything. `own` is the model that the user has named: only its weights may be fetched."""

    def __init__(
        self,
        tell: Callable[[Answer], None],
        memory: int | None = None,
        background: bool = True,
        own: str | None = None,
    ):
        self._tell, self._memory, self._background, self._own = tell, memory, background, own
        self._queue: queue.SimpleQueue[Request | _LetGo | None] = queue.SimpleQueue()
        self._model: tuple[tuple[Any, ...], Model | TokenModel] | None = None
        self._of: _Session | None = None
        self._recordable = False
        """Whether the session may have something to record: not where its last request was stopped, or failed."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="sige-mlx renders")
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Renders a canvas when all that was asked for before is done. Whoever sets `cancelled` of a request stops it
        between two steps of a network."""
        self._queue.put(request)

    def rest(self) -> None:
        """Lets the session go, with its recordings, after what was asked for. The model stays, for the next picture."""
        self._queue.put(_LetGo())

    def close(self) -> None:
        """Ends the thread, after what was asked for."""
        self._queue.put(None)
        self._thread.join()

    def nbytes(self) -> int:
        """Bytes of recordings that are kept in memory."""
        of = self._of
        if of is None:
            return 0
        return of.session.nbytes if isinstance(of.session, TokenEditing) else of.session.memory().recording

    def _next(self) -> Request | _LetGo | None:
        """What is to be done next. While nothing is, what is missing is recorded."""
        if self._background and self._recordable:
            try:
                return self._queue.get(timeout=REST)
            except queue.Empty:
                self._record()
        return self._queue.get()

    def _record(self) -> None:
        """Records in the background what is missing. Where that cannot begin, the next renders record it."""
        if self._of and not isinstance(self._of.session, TokenEditing):
            try:
                self._of.recording = self._of.session.record_in_background()
            except Exception:  # whatever it is, renders go on
                traceback.print_exc(file=sys.stderr)

    def _run(self) -> None:
        while (request := self._next()) is not None:
            self._recordable = False
            if isinstance(request, _LetGo):
                self._leave()
                continue
            try:
                answer = self._answer(request)
                self._recordable = True
            except Cancelled:
                answer = Answer(request)
            except (SigeError, MemoryError) as error:
                answer = Answer(request, error=str(error) or "there is not enough memory")
            except Exception as error:  # a fault of ours, which must not end the thread: the page is told
                traceback.print_exc(file=sys.stderr)
                answer = Answer(request, error=f"the render failed: {first_line(error)}")
            self._tell(answer)
            del request, answer
        self._leave()

    def _answer(self, request: Request) -> Answer:
        self._check(request)
        self._say(request, "open", 0, 1, None)
        of = self._session(request)

        def tell(what: str, step: int, steps: int, seed: int | None = request.settings.seed) -> None:
            self._check(request)
            self._say(request, what, step, steps, seed)

        if request.canvas is None:
            if isinstance(of.session, OnePassSession):
                return Answer(request, picture=of.session.record(tell))
            return Answer(request)
        edited = request.subject.edited(request.given, request.canvas)
        found = []
        for seed in request.seeds:
            own = seed == request.settings.seed

            def of_seed(what: str, step: int, steps: int, seed: int | None = seed) -> None:
                tell(what, step, steps, seed)

            session = of.session if own else self._opened(request, dataclasses.replace(request.settings, seed=seed))
            if isinstance(session, TokenEditing):
                result = session.edit(edited, request.settings.prompt, of_seed)
            else:
                result = session.edit(edited, progress=of_seed, once=not own)
            made = _found(request, session, seed, result)
            found.append(made)
            if own:
                of.proposed = made
        return Answer(request, found=found)

    def _say(self, request: Request, what: str, step: int, steps: int, seed: int | None) -> None:
        self._tell(Answer(request, progress=(what, step, steps, seed)))

    def _check(self, request: Request) -> None:
        if request.cancelled.is_set():
            raise Cancelled

    def _session(self, request: Request) -> _Session:
        """The session of a request's settings, of its original."""
        # A session that edits by tokens takes another prompt with every edit.
        key = request.document, dataclasses.astuple(dataclasses.replace(request.settings, prompt=None))
        if self._of is None or self._of.key != key:
            self._leave()
            self._of = _Session(key, self._opened(request, request.settings), request.version)
        else:
            self._of.follow(request)
        return self._of

    def _opened(self, request: Request, settings: Settings) -> AnySession | TokenEditing:
        """A new session of a request's original."""
        key: tuple[Any, ...]
        loaded: Callable[[], Model | TokenModel]
        if settings.model in MODELS:
            bits = bits_for(settings, size_of(request.subject, request.given))
            key, loaded = (settings.model, bits), partial(TokenModel, settings.model, bits, self._own)
        else:
            key = settings.model, settings.device, settings.quality or "balanced"
            loaded = partial(load, settings.model, settings.device, quality=key[-1])
        if self._model is None or self._model[0] != key:
            self._model = None  # whose memory is free before another takes its own
            self._model = key, loaded()
        if isinstance(self._model[1], TokenModel):
            return self._model[1].session(request.given, settings)
        options: dict[str, Any] = {"history": 0}  # the document has one, and sessions follow it
        model, given = self._model[1], request.given
        if request.subject.kind == "labels":
            given, instances = request.given
            options["instances"] = None if model.pretrained.model.config.no_instance else instances
        if settings.seed is not None:
            options |= {"seed": settings.seed, "strength": settings.strength, "steps": settings.steps}
        session = model.session(given, scale=settings.scale, **options)
        if self._memory is not None:
            session.engine.recordings.budget = self._memory
        return session

    def _leave(self) -> None:
        of, self._of = self._of, None
        if of and of.recording:
            of.recording.stop()


class _LetGo:
    """Asks for no render, but for the session to be let go."""


class _Session:
    """A session, and which original of the document it is of."""

    def __init__(self, key: object, session: AnySession | TokenEditing, version: object):
        self.key, self.session, self.version = key, session, version
        self.proposed: object | None = None
        """The version that a commit would make; a result is known by what it found."""
        self.recording: Background | None = None

    def follow(self, request: Request) -> None:
        """Makes the original of a request the session's."""
        if request.version is self.version:
            return
        if request.version is self.proposed and self.session.pending is not None:
            self.session.commit()
        else:
            self.session.adopt(request.given)
        self.version, self.proposed = request.version, None


def _found(request: Request, session: AnySession | TokenEditing, seed: int | None, result: EditResult) -> Found:
    """What a result came to, as the document keeps it."""
    picture = result.image
    place = extent(result.mask)
    part = Part.of(request.subject, session.proposed, place) if place else None
    box = place if request.base is None else extent((picture != request.base).any(-1))
    pixels = Packed(box.of(picture).copy()) if box else None
    active, count = max(result.tiles.items(), default=((0, 0), (0, 0)))[1]  # of the finest plane
    figures: Figures = {
        "edited": result.edited,
        "tiles": active,
        "all_tiles": count,
        "macs": result.macs,
        "dense_macs": result.dense_macs,
        "ms": (time.perf_counter() - request.asked) * 1e3,
        "engine_ms": result.seconds * 1e3,
        "dense_ms": None if result.dense_seconds is None else result.dense_seconds * 1e3,
        "recording_ms": result.recording_seconds * 1e3,
        "way": result.way,
        "window": _place(result.window.part) if result.window else None,
    }
    return Found(seed, part, box, pixels, figures, _tiles(result), result.notes)


def _place(box: Box) -> list[int]:
    return [box.left, box.top, box.width, box.height]


def _tiles(result: EditResult) -> dict[str, Any] | None:
    """The active tiles of the finest plane of which there are not too many to draw."""
    window = result.window
    fitting = [size for size, level in result.levels.items() if len(level) <= MOST_TILES]
    if window is None or not fitting:
        return None
    size = max(fitting, key=lambda size: size[0] * size[1])
    level = result.levels[size]
    side = level.tile * window.box.width / size[1]
    x, y, w, h = _place(window.part)
    return {"size": side, "x": x, "y": y, "w": w, "h": h, "active": np.asarray(level.rows)[:, 1:].tolist()}
