"""A saved document that is opened again can be undone, done again and chosen in as if it had never been closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sige_mlx.app import protocol, saving, steps
from sige_mlx.app.document import Document
from sige_mlx.app.opening import Catalogue, of_gallery
from sige_mlx.app.protocol import RENDER
from sige_mlx.app.saving import Snapshot
from sige_mlx.editing.container import Container, write
from sige_mlx.editing.images import Source
from tests.app.talking import Page, Running, ask, editing, sent, serving
from tests.tiny import labels, original

Layers = dict[int, np.ndarray]


def session(running: Running) -> bytes:
    status, document, _ = ask(running, "GET", "/api/session")
    assert status == 200, document
    return document


def reopened(running: Running, page: Page, document: bytes) -> dict[str, Any]:
    """What a page is told of a document after it was closed, and opened from its file."""
    page.say("close")
    assert page.until("document")["name"] is None
    status, body, _ = ask(running, "POST", "/api/session", document)
    assert status == 200, body
    page.until("document")
    return page.settled()


def looks(page: Page) -> Layers:
    page.do("settings")
    return {layer: pixels.copy() for layer, pixels in page.layers.items()}


def walk(page: Page, which: str) -> list[Layers]:
    """What all layers are after each step back, or forth."""
    found = [looks(page)]
    while page.document[which]:
        page.do(which)
        found.append(looks(page))
    return found


def alike(one: list[Layers], other: list[Layers], layers: int = 3) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[layer], b[layer]) for a, b in zip(one, other, strict=True) for layer in range(layers)
    )


def rendered(page: Page, *args: Any, **options: Any) -> None:
    page.draw(*args, flags=RENDER, **options)
    page.until("rendered")
    page.settled()


def work(page: Page) -> None:
    """A stroke, a render of three seeds, another one chosen and accepted; a fill that is rejected; one step undone."""
    page.paint([(12, 12), (14, 14)])
    page.say("render", seeds=[3, 4, 5])
    page.until("rendered")
    page.do("choose", variant=2)
    page.do("accept")
    rendered(page, [(24, 24)])
    page.do("fill", x=4, y=4, value=[9, 9, 9])
    page.do("reject")
    page.do("undo")


def test_all_steps_are_there_again(running: Running) -> None:
    with editing(running, sent(original())) as page:
        work(page)
        document = session(running)
        told = page.document["figures"], page.document["tiles"]
        before = looks(page), walk(page, "undo"), walk(page, "redo")
        state = reopened(running, page, document)
        assert state["undo"] >= 6 and state["redo"] == 1 and state["dirty"] is False
        assert state["proposed"] and (state["figures"], state["tiles"]) == told and state["tiles"]["active"]
        after = looks(page), walk(page, "undo"), walk(page, "redo")
        assert alike([before[0]], [after[0]]) and alike(before[1], after[1]) and alike(before[2], after[2])


def test_variants_are_there_again_and_what_follows_is_made_of_the_right_original(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint([(12, 12), (14, 14)])
        page.say("render", seeds=[3, 4])
        page.until("rendered")
        page.do("settings")
        wanted = looks(page)
        state = reopened(running, page, session(running))
        assert [of["seed"] for of in state["variants"]] == [3, 4] and alike([wanted], [looks(page)], 3)
        assert page.do("choose", variant=1)["settings"]["seed"] == 4
        page.do("accept")
        rendered(page, [(24, 24)])
        page.do("undo")
        assert page.do("undo")["settings"]["seed"] == 4


def test_labels_and_their_picture_go_back_too(tiny_labels: Path) -> None:
    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        rendered(page, [(10, 14), (14, 20)], (21,), protocol.BOX)
        page.do("accept")
        rendered(page, [(4, 4), (8, 9)], (11,), protocol.BOX)
        document = session(running)
        before = looks(page), walk(page, "undo")
        state = reopened(running, page, document)
        assert (state["undo"], state["proposed"], state["dirty"]) == (3, True, False)
        after = looks(page), walk(page, "undo")
        assert alike([before[0]], [after[0]]) and alike(before[1], after[1])


def test_a_file_keeps_so_many_bytes_of_the_nearest_steps(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with editing(running, sent(original())) as page:
        for _ in range(12):
            page.paint([(12, 12), (14, 14)], value=np.random.default_rng(_).integers(0, 256, 3).tolist())
        wanted = walk(page, "undo")[:4]
        while page.document["redo"]:
            page.do("redo")
        monkeypatch.setattr(steps, "MOST", 3 * 32 * 32 * 3 + 100)
        assert reopened(running, page, session(running))["undo"] == 3
        assert alike(wanted, walk(page, "undo"))


def test_the_present_is_kept_however_large_it_is(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST", 0)
    with editing(running, sent(original())) as page:
        page.draw([(4, 4), (28, 28)], radius=20)
        page.say("render", seeds=[*range(8)])
        page.until("rendered")
        page.do("settings")
        wanted = looks(page)
        state = reopened(running, page, session(running))
        assert (state["undo"], len(state["variants"]), state["proposed"]) == (1, 8, True)  # what led to it is no larger
        assert alike([wanted], [looks(page)])


def changed(
    document: bytes,
    path: Path,
    change: Callable[[dict[str, Any]], Any],
    change_arrays: Callable[[dict[str, np.ndarray]], Any] = lambda arrays: None,
) -> bytes:
    """The file of a document in which something else is told, or kept, with right checksums."""
    path.write_bytes(document)
    file = Container(path, saving.PURPOSE)
    arrays = {name: file.array(name).copy() for name in file._header}
    told = json.loads(json.dumps(file.told))
    change(told)
    change_arrays(arrays)
    write(path, saving.PURPOSE, arrays, told)
    return path.read_bytes()


def test_files_without_steps_are_opened_as_before(running: Running, tmp_path: Path) -> None:
    with editing(running, sent(original())) as page:
        rendered(page, [(12, 12)])
        wanted = page.layers[protocol.CANVAS].copy()
        old = changed(session(running), tmp_path / "old", lambda told: told.pop("steps"))
        state = reopened(running, page, old)
        assert (state["undo"], state["proposed"]) == (0, False)
        assert np.array_equal(looks(page)[protocol.CANVAS], wanted)


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a rectangle beside the picture": lambda told: told["undo"][0]["changes"][0].update(box=[0, 0, 99, 99]),
    "one that is larger than its pixels": lambda told: told["undo"][0]["changes"][0].update(box=[0, 0, 31, 32]),
    "a plane that there is not": lambda told: told["undo"][0]["changes"][0].update(plane="given"),
    "a picture that only labels have": lambda told: told["undo"][0]["changes"][0].update(plane="base"),
    "an unknown field": lambda told: told["undo"][0]["changes"][-1].update(values={"given": 1}),
    "a result that there is not": lambda told: told["now"].update(found=99),
    "a negative one": lambda told: told["now"].update(found=-1),
    "an unknown step": lambda told: told["undo"][0].update(name="<b>"),
    "a figure that is no number": lambda told: told["founds"][0]["figures"].update(macs="many"),
    "a seed that is none": lambda told: told["founds"][0].update(seed="x"),
    "no number of tiles": lambda told: told["founds"][0]["figures"].update(tiles=None),
    "a number that is none": lambda told: told["founds"][0]["figures"].update(ms=float("nan")),
    "a way that there is not": lambda told: told["founds"][0]["figures"].update(way="magic"),
    "a window with two sides": lambda told: told["founds"][0]["figures"].update(window=[0, 0]),
    "tiles of no size": lambda told: told["founds"][0]["tiles"].update(size=float("inf")),
    "more tiles than are drawn": lambda told: told["founds"][0]["tiles"].update(active=[[0, 0]] * 4097),
    "a tile that is nowhere": lambda told: told["founds"][0]["tiles"].update(active=[[0, 1 << 70]]),
    "notes that nobody would read": lambda told: told["founds"][0].update(notes=["x" * 1000] * 66),
    "a note that is no text": lambda told: told["founds"][0].update(notes=[1]),
    "an array that is used twice": lambda told: told["founds"][0]["part"]["kept"].__setitem__(
        0, told["founds"][0]["pixels"]
    ),
    "an array that there is not": lambda told: told["founds"][0].update(pixels="kept.99"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_steps_that_make_no_sense_are_refused(running: Running, tmp_path: Path, damage: str) -> None:
    with editing(running, sent(original())) as page:
        rendered(page, [(12, 12)])
        bad = changed(session(running), tmp_path / "bad", lambda told: DAMAGES[damage](told["steps"]))
        status, body, _ = ask(running, "POST", "/api/session", bad)
        assert status == 422 and (b"is damaged" in body or b"is missing" in body)
        assert page.do("undo")["undo"] == 0


STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "more than is read": lambda stored: np.pad(stored, (0, 9)),
    "far more": lambda stored: np.pad(stored, (0, 99_999)),
    "less": lambda stored: stored[:-1],
    "another type": lambda stored: stored.view(np.int8),
    "another shape": lambda stored: stored[None],
}


@pytest.mark.parametrize("how", STORED)
def test_what_steps_keep_is_compressed_and_nothing_else(running: Running, tmp_path: Path, how: str) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["kept.0"] = STORED[how](arrays["kept.0"])

    with editing(running, sent(original())) as page:
        rendered(page, [(12, 12)])
        document = session(running)
        assert ask(running, "POST", "/api/session", document)[0] == 200
        bad = changed(document, tmp_path / "bad", lambda told: None, change)
        status, body, _ = ask(running, "POST", "/api/session", bad)
        assert status == 422 and b"is damaged" in body


def test_opening_takes_no_more_memory_than_the_file_and_keeps_all_that_fits(tmp_path: Path) -> None:
    room, path = 50_000, tmp_path / "a.sige"
    given = Source.of(np.zeros((256, 256, 3), np.uint8))
    document = Document(*of_gallery("sea", None, "cpu")._replace(given=given), room)
    for level in range(8):  # each is 192 kB before it is compressed
        document.fill(0, 0, (level, level, level), 255)
    document.history.squeeze()
    assert document.history.nbytes < room
    saving.save_document(Snapshot.of(document), path)
    opened = saving.open_document(path, Catalogue(), "cpu", room)
    assert len(opened.history.undo) == 8 and opened.history.nbytes == document.history.nbytes
    for level in reversed(range(8)):
        assert (opened.canvas == level).all()
        opened.undo()
    assert not opened.canvas.any()
