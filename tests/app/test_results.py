"""What the result layer shows is what every page is told, and what is saved: the network's picture of the original, and
on it the result."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.app import protocol
from sige_mlx.app.protocol import BEFORE, RENDER, RESULT
from tests.app.talking import Page, Running, ask, editing, sent, serving
from tests.tiny import labels


def same_everywhere(running: Running, page: Page) -> bool:
    """Whether a page that comes now, and a saved picture, show what this one does."""
    page.do("settings")
    with Page(running) as second:
        second.until("loaded")
        seen = all(np.array_equal(second.layers[layer], page.layers[layer]) for layer in page.layers if layer < 5)
    saved = np.asarray(Image.open(io.BytesIO(ask(running, "GET", "/api/picture")[1])))
    return seen and np.array_equal(saved, page.layers[RESULT])


@pytest.mark.parametrize("accepted", [False, True])
def test_all_pages_show_the_same_after_another_quality_and_steps_back(tiny_labels: Path, accepted: bool) -> None:
    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        page.draw([(10, 14), (14, 20)], (21,), protocol.BOX, flags=RENDER)
        page.until("rendered")
        page.settled()
        if accepted:
            page.do("accept")
        document = running.server.studio.document
        assert document is not None and document.base is not None
        base = page.layers[BEFORE].copy()
        # Another quality makes another picture of the original; how different it is, is not what is tried here.
        boxes = document.begins(255 - document.base)
        running.server.studio._loop.call_soon_threadsafe(running.server.studio._show, boxes, 0)
        assert same_everywhere(running, page) and not np.array_equal(page.layers[BEFORE], base)
        for deed in ("undo", "undo", "redo", "redo"):
            page.do(deed)
            assert same_everywhere(running, page), deed


def test_steps_back_keep_no_second_copy_of_results(tiny_labels: Path) -> None:
    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        page.draw([(10, 14), (14, 20)], (21,), protocol.BOX, flags=RENDER)
        page.until("rendered")
        page.settled()
        document = running.server.studio.document
        assert document is not None and document.found is not None
        assert document.history.undo[-1].boxes("result") == []
