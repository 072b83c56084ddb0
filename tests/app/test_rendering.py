"""The thread in which networks run: it goes on whatever happens, and keeps nothing of a document that was closed."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from sige_mlx.app.document import Document
from sige_mlx.app.protocol import RENDER
from sige_mlx.app.rendering import Answer, Renderer, Request
from sige_mlx.editing.base import Session
from tests.app.talking import Running, editing, sent, serving
from tests.tiny import original

ISLAND = [(12, 12), (14, 14)]


def soon(holds: Callable[[], object], seconds: float = 20) -> bool:
    """Whether something comes to hold."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def gone(of: weakref.ref[Document]) -> bool:
    gc.collect()
    return of() is None


def test_a_document_that_is_closed_is_let_go_with_its_recordings(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        studio = running.server.studio
        assert studio.document is not None
        document = weakref.ref(studio.document)
        assert studio._renderer.nbytes() > 0
        page.say("close")
        assert page.until("document")["name"] is None
        assert soon(lambda: studio._renderer.nbytes() == 0)
        assert soon(lambda: gone(document))


def test_a_document_that_is_closed_while_it_is_rendered_is_let_go_too(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.renders_for_long(ISLAND)
        studio = running.server.studio
        assert studio.document is not None
        document = weakref.ref(studio.document)
        page.say("close")
        assert page.until("document")["name"] is None
        assert soon(lambda: gone(document))
        assert studio._renderer.nbytes() == 0


def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that began to record in the background."""
    begun = []
    record = Session.record_in_background

    def noted(self, *args, **options):  # type: ignore[no-untyped-def]
        begun.append(self)
        return record(self, *args, **options)

    monkeypatch.setattr(Session, "record_in_background", noted)
    return begun


def test_nothing_is_recorded_in_the_background_after_a_render_that_was_stopped(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tiny, background=True) as running, editing(running, sent(original())) as page:
        begun = recordings(monkeypatch)
        page.do("settings", steps=400, strength=1.0)
        page.draw(ISLAND, flags=RENDER)
        page.until("progress")
        page.say("cancel")
        page.until("cancelled")
        time.sleep(1)
        assert not begun
        page.do("settings", steps=3)
        page.settled()
        assert soon(lambda: begun)


def test_renders_go_on_where_recording_in_the_background_cannot_begin(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(self: Session, refresh: bool = False) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Session, "record_in_background", fails)
    with serving(tiny, background=True) as running, editing(running, sent(original())) as page:
        time.sleep(0.5)
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
    assert "can't start new thread" in capfd.readouterr().err


def test_a_render_that_waits_for_another_is_told_of(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was stopped may end later, for networks look between their steps whether they are still wanted."""
    let, make = threading.Event(), Renderer._answer

    def held(self: Renderer, request: Request) -> Answer:
        let.wait(60)
        return make(self, request)

    with editing(running, sent(original())) as page:
        monkeypatch.setattr(Renderer, "_answer", held)
        try:
            page.draw(ISLAND, flags=RENDER)
            second = page.draw([(25, 25)], flags=RENDER)
            assert page.until("progress")["seq"] == second
        finally:
            let.set()
        page.until("rendered", seq=second)
