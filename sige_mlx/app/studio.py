"""The editor without its sockets: the document that is open, the pages that show it, and the renders they ask for. All
of it happens in the server's thread; only networks run in another."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from sige_mlx.app import protocol, telling
from sige_mlx.app.clients import Client, Clients
from sige_mlx.app.document import Boxes, Document
from sige_mlx.app.history import Deed
from sige_mlx.app.opening import Catalogue, Opened, checked
from sige_mlx.app.protocol import CANVAS, MOST_SEEDS, ORIGINAL, RESULT, VARIANT
from sige_mlx.app.rendering import Answer, Renderer, Request
from sige_mlx.app.results import Found
from sige_mlx.app.subjects import Canvas, OfLabels
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Picture
from sige_mlx.engine import physical_memory
from sige_mlx.errors import SigeError

PATIENCE = 0.05
"""Seconds of a render until pages are told that it runs, and then from one report of it to the next: one that is over
by then needs none, and a page, which draws every one, has time for its result."""

QUIET = 0.25
"""Seconds after a deed in which nothing else happened, until what undo keeps is compressed."""


class Studio:
    """One document at a time, for any number of pages. `memory` is how many bytes recordings and what can be undone may
    take together; by default a quarter of the machine's and a sixteenth. With `background` recording goes on while
    nobody renders."""

    def __init__(self, catalogue: Catalogue, device: str = "cpu", memory: int | None = None, background: bool = True):
        self.catalogue, self.device = catalogue, device
        self.clients = Clients()
        self.document: Document | None = None
        self.history = physical_memory() // 16 if memory is None else memory // 4
        """Bytes that what can be undone may take."""
        self._loop = asyncio.get_running_loop()
        recordings = None if memory is None else memory - self.history
        self._renderer = Renderer(self._heard, recordings, background, catalogue.own)
        self._pending: Request | None = None
        self._opening: Request | None = None
        self._known: Request | None = None
        """One of the openings: what a network makes of the original came with its file, and stays."""
        self._deferred: tuple[int, tuple[int | None, ...], Deed | None] | None = None
        self._revision = 0
        self._tidying: asyncio.TimerHandle | None = None
        self._progress: Answer | None = None
        """What pages are told next of the render that runs."""
        self._reporting: asyncio.TimerHandle | None = None
        """When they are told."""
        self._told: Found | None = None
        """Whose figures all pages have."""

    def close(self) -> None:
        """Ends the renders and lets all pages go."""
        self._cancel()
        self._end_opening()
        self.clients.close()
        self._renderer.close()

    def open(self, opened: Opened | Document) -> None:
        """Opens a document in place of the one that is open."""
        document = opened if isinstance(opened, Document) else Document(*opened, self.history)
        self._leave()
        document.revision = document.saved_at = self._revision + 1
        self.document = document
        self._warm()
        self._known = self._opening if document.made else None
        self._tell_document(None)

    def shut(self) -> None:
        """Closes the document."""
        self._leave()
        self._tell_document(None)

    def hello(self, client: Client) -> None:
        """Tells a page everything."""
        self._tell_document(client)

    def stroke(self, client: Client, data: bytes) -> None:
        """Paints what a page has sent."""
        stroke = protocol.stroke(data)
        document = self._open()
        boxes, deed = document.paint(stroke, client)
        self._cancel()
        self._show(boxes, stroke.seq)
        if stroke.render and deed and self._live:
            self._render(stroke.seq, None, deed)
        self._tell_state(stroke.seq)

    def message(self, client: Client, text: str) -> None:
        """Does what a page asks for. Raises `SigeError` for what cannot be done."""
        told = protocol.message(text)
        self._deeds[told["t"]](self, client, told)

    def tell_saved(self, document: Document) -> None:
        """Tells all pages of a document that was saved, if it is still open."""
        if document is self.document:
            self._tell_state(None)

    def gone(self, client: Client) -> None:
        """A page has closed. What it was drawing stays, as a step that others can undo."""
        self.clients.remove(client)
        if self.document and self.document.drawing.left(client):
            self._tell_state(None)

    def _fill(self, client: Client, told: dict[str, Any]) -> None:
        document = self._open()
        labels = isinstance(document.subject, OfLabels)
        value = protocol.numbers(told, "value", 0, 255, range(1, 5) if labels else range(3, 5))
        tolerance = protocol.numbers({"tolerance": [told.get("tolerance", 32)]}, "tolerance", 0, 255, range(1, 2))[0]
        boxes, deed = document.fill(told["x"], told["y"], tuple(value[:3]), tolerance)
        self._cancel()
        self._show(boxes, told["seq"])
        if told.get("render") is True and deed and self._live:
            self._render(told["seq"], None, deed)
        self._tell_state(told["seq"])

    def _change(self, client: Client, told: dict[str, Any], do: Callable[[Document], Boxes]) -> None:
        document = self._open()
        variants = document.variants
        boxes = do(document)
        self._cancel()
        self._show(boxes, told["seq"])
        if document.variants is not variants:
            self._show_variants(told["seq"])
        self._tell_state(told["seq"])

    def _ask(self, client: Client, told: dict[str, Any]) -> None:
        self._open()
        seeds = None
        if told.get("seeds") is not None:
            seeds = protocol.numbers(told, "seeds", 0, 2**32 - 1, range(1, MOST_SEEDS + 1))
        self._cancel()
        self._render(told["seq"], seeds, None)
        self._tell_state(told["seq"])

    def _set(self, client: Client, told: dict[str, Any]) -> None:
        document = self._open()
        changed = {name: value for name, value in told.items() if name not in ("t", "seq")}
        settings = checked(document.settings, changed, self.catalogue)
        if settings != document.settings:
            self._cancel()
            document.settings = settings
            self._warm()
        self._tell_state(told["seq"])

    def _pick(self, client: Client, told: dict[str, Any]) -> None:
        document = self._open()
        layer = told.get("layer", CANVAS)
        value, colour = document.pick(told["x"], told["y"], layer if layer in (ORIGINAL, CANVAS, RESULT) else CANVAS)
        name = None
        if isinstance(document.subject, OfLabels) and len(value) == 1:
            name = document.subject.classes[value[0]].name
        self.clients.say("picked", client, seq=told["seq"], value=value, colour=telling.hexadecimal(colour), name=name)

    def _stop(self, client: Client, told: dict[str, Any]) -> None:
        self._cancel()
        if self.document:
            self._tell_state(None)

    _deeds: dict[str, Callable[[Studio, Client, dict[str, Any]], None]] = {  # noqa: RUF012, never written to
        "hello": lambda self, client, told: self.hello(client),
        "fill": _fill,
        "abandon": lambda self, client, told: self._change(client, told, lambda of: of.abandon(client, told["seq"])),
        "undo": lambda self, client, told: self._change(client, told, Document.undo),
        "redo": lambda self, client, told: self._change(client, told, Document.redo),
        "accept": lambda self, client, told: self._change(client, told, Document.accept),
        "reject": lambda self, client, told: self._change(client, told, Document.reject),
        "choose": lambda self, client, told: self._change(client, told, lambda of: of.choose(told["variant"])),
        "render": _ask,
        "cancel": _stop,
        "settings": _set,
        "pick": _pick,
        "close": lambda self, client, told: self.shut(),
    }

    def _open(self) -> Document:
        if self.document is None:
            raise SigeError("no picture is open")
        return self.document

    @property
    def _live(self) -> bool:
        """Whether a render is so quick that strokes may ask for one, and other seeds for one more: not where words say
        what to render."""
        return self._open().settings.prompt is None

    def _leave(self) -> None:
        self._cancel()
        self._end_opening()
        if self.document:
            self._revision = self.document.revision + 1
        self.document = self._known = self._told = None
        self._renderer.rest()

    def _end_opening(self) -> None:
        if self._opening:
            self._opening.cancelled.set()
        self._opening = self._deferred = None

    def _render(self, seq: int, seeds: list[int] | None, deed: Deed | None) -> None:
        """Asks for a render of the canvas as it is."""
        document = self._open()
        document.drawing.finish()
        own = document.settings.seed
        one = own is None or not seeds or not self._live
        wanted: tuple[int | None, ...] = (own,) if one else tuple(dict.fromkeys(seeds or ()))
        if not document.made:
            self._deferred = seq, wanted, deed
            return
        self._wait_for(self._request(seq, document.canvas.copy(), wanted, deed))

    def _wait_for(self, request: Request) -> None:
        """Has a render made, of which pages are told if it takes longer than a moment, or waits for so long."""
        self._pending = request
        self._renderer.ask(request)
        self._hear(Answer(request, ("open", 0, 1, None)))

    def _request(self, seq: int, canvas: Canvas | None, seeds: tuple[int | None, ...], deed: Deed | None) -> Request:
        document = self._open()
        settings = dataclasses.replace(document.settings)
        of = document.subject, document.given, document.version
        return Request(seq, document, *of, settings, canvas, document.base, seeds, deed)

    def _warm(self) -> None:
        """Has the model loaded, and what it makes of the original known or recorded, before anybody renders."""
        self._end_opening()
        self._opening = self._request(0, None, (None,), None)
        self._renderer.ask(self._opening)

    def _cancel(self) -> None:
        """Nobody wants the render any more that runs or waits."""
        deferred, self._deferred = self._deferred, None
        request, self._pending = self._pending, None
        if request:
            request.cancelled.set()
            self._hush()
        if request or deferred:
            self.clients.say("cancelled", seq=request.seq if request else deferred[0] if deferred else 0)

    def _heard(self, answer: Answer) -> None:
        """Is called in the renderer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._hear, answer)
        except RuntimeError:  # the server has ended
            return

    def _hear(self, answer: Answer) -> None:
        request, document = answer.request, self.document
        if document is None or request not in (self._pending, self._opening):
            return
        if answer.progress:
            self._progress = answer
            if self._reporting is None:
                self._reporting = self._loop.call_later(PATIENCE, self._report)
            return
        self._hush()
        if request is self._opening:
            self._opening = None
        else:
            self._pending = None
        if answer.error:
            self.clients.say("error", seq=request.seq or None, why=answer.error)
        elif answer.picture is not None:
            if request is not self._known:
                self._show(document.begins(answer.picture), 0)
            if self._deferred:
                (seq, seeds, deed), self._deferred = self._deferred, None
                self._wait_for(self._request(seq, document.canvas.copy(), seeds, deed))
        elif answer.found:
            own = request.settings.seed
            chosen = request.seeds.index(own) if own in request.seeds else 0
            self._show(document.rendered(answer.found, chosen, request.cause), request.seq)
            self._show_variants(request.seq)
            found = answer.found[chosen]
            told: dict[str, Any] = {"figures": found.figures, "tiles": found.tiles, "notes": found.notes}
            told |= {"revision": document.revision, "variants": telling.variants(document)}
            self.clients.say("rendered", seq=request.seq, **told)
        self._tell_state(request.seq or None)

    def _report(self) -> None:
        """Tells of the last progress, if what it is of still runs."""
        answer, self._progress, self._reporting = self._progress, None, None
        if answer and answer.progress and answer.request in (self._pending, self._opening):
            what, step, steps, seed = answer.progress
            self.clients.say("progress", seq=answer.request.seq, what=what, step=step, steps=steps, seed=seed)

    def _hush(self) -> None:
        """What ran is over: its progress is not told any more, and the next may take a moment before its own is."""
        if self._reporting:
            self._reporting.cancel()
        self._progress = self._reporting = None

    def _show(self, boxes: Boxes, seq: int, to: Client | None = None) -> None:
        document = self._open()
        for layer, changed in boxes.items():
            for box in changed:
                self.clients.show(layer, box, partial(document.layer, layer), seq, document.revision, to)

    def _show_variants(self, seq: int, to: Client | None = None) -> None:
        document = self._open()
        for number, found in enumerate(document.variants):
            if found.box and found.pixels:
                of = partial(_part, found.pixels.array, found.box)
                self.clients.show(VARIANT, found.box, of, seq, document.revision, to, number)

    def _tell_document(self, to: Client | None) -> None:
        document = self.document
        if document is None:
            self.clients.say("document", to, name=None, revision=self._revision, device=self.device)
            return
        self.clients.say("document", to, **telling.identity(document), **self._state(document))
        for layer, like, boxes in document.layers:
            if like is not None:
                self.clients.say("copy", to, layer=layer, of=like)
            self._show({layer: boxes}, 0, to)
        self._show_variants(0, to)
        self.clients.say("loaded", to)

    def _state(self, document: Document) -> dict[str, Any]:
        return telling.state(document, self._pending or self._opening)

    def _tell_state(self, seq: int | None) -> None:
        document = self._open()
        state = self._state(document)
        if document.last is self._told:  # hundreds of tiles, which every part of a stroke would repeat
            del state["figures"], state["tiles"]
        self._told = document.last
        self.clients.say("state", seq=seq, **state)
        if self._tidying:
            self._tidying.cancel()
        document.history.fit()
        self._tidying = self._loop.call_later(QUIET, self._tidy, document)

    def _tidy(self, document: Document) -> None:
        """Compresses what undo keeps, in another thread, for a large deed takes a while."""
        self._tidying = None
        self._loop.run_in_executor(None, document.history.squeeze)


def _part(pixels: Picture, at: Box, part: Box) -> Picture:
    """A part of a picture, of which there are the pixels of a rectangle."""
    return part.seen_from(at).of(pixels)
