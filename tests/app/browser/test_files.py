"""Pictures come by dialog, drop and paste, and leave as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.browser.editor import Editor

Edit = Callable[..., Editor]


def gradient(file: Path, width: int, height: int) -> Path:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, 0)
    Image.fromarray(np.stack([ramp, ramp[:, ::-1], ramp // 2], -1)).save(file)
    return file


def test_a_file_can_be_dropped(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    file = gradient(tmp_path / "dropped.png", 200, 150)
    session = editor.page.context.new_cdp_session(editor.page)
    top, middle = (400, 10), (400, 300)  # in different elements: what the pointer has just come to takes the drop
    for kind, (x, y) in (("dragEnter", top), ("dragOver", top), ("drop", middle)):
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
        if kind == "dragOver":
            editor.page.wait_for_selector("#droppable", state="visible")
    editor.until("store.doc?.w === 200 && store.doc?.h === 150")
    editor.ready()
    assert not editor.page.is_visible("#droppable")
    np.testing.assert_array_equal(editor.layer("original"), np.asarray(Image.open(file)))


def test_a_picture_can_be_pasted(edit: Edit) -> None:
    editor = edit(permissions=["clipboard-read", "clipboard-write"])
    editor.page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(160, 140)
            canvas.getContext('2d').fillRect(0, 0, 80, 80)
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': await canvas.convertToBlob() })])
        }"""
    )
    editor.page.keyboard.press("Control+v")
    editor.until("store.doc?.w === 160 && store.doc?.h === 140")


def test_what_is_no_picture_is_refused_in_a_sentence_and_nothing_is_lost(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.island(60, 60, 6)
    edited = editor.know("store.doc.edited")
    (tmp_path / "letter.png").write_text("Dear Sir or Madam")
    editor.page.once("dialog", lambda dialog: dialog.accept())  # what is not saved may go, but does not
    with editor.page.expect_response(lambda answer: "/api/open" in answer.url) as answer:
        editor.choose(tmp_path / "letter.png")
    assert 400 <= answer.value.status < 500
    editor.page.wait_for_selector(".toast.trouble")
    assert editor.page.inner_text(".toast.trouble").strip()
    assert editor.know("store.doc.edited") == edited > 0


@pytest.mark.parametrize(("form", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("tiff", "TIFF")])
def test_a_result_is_saved_in_the_format_one_chooses(edit: Edit, tmp_path: Path, form: str, kind: str) -> None:
    editor = edit()
    editor.choose(gradient(tmp_path / "given.png", 160, 130))
    editor.until("store.doc?.w === 160")
    saved = Image.open(editor.download(form, tmp_path / f"saved.{form}"))
    assert saved.format == kind and saved.size == (160, 130)
    if kind != "JPEG":
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(Image.open(tmp_path / "given.png")))


def test_a_saved_session_goes_on_in_another_editor(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.island(60, 60, 6)
    editor.render()
    editor.after("Enter")
    kept = editor.layer("original")
    file = editor.download("session", tmp_path / "sea.sige")
    editor.page.evaluate("import('/static/connection.js').then(({ send }) => send({ t: 'close' }))")
    editor.page.wait_for_selector("html[data-kind=none]")
    editor.choose(file)
    editor.until("store.doc?.kind === 'picture'")
    editor.ready()
    np.testing.assert_array_equal(editor.layer("original"), kept)
    editor.island(30, 30, 5)
    editor.render()


def test_what_is_not_saved_goes_only_if_its_owner_says_so(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.stroke([(40, 40), (60, 50)])
    other = gradient(tmp_path / "other.png", 160, 130)
    asked: list[str] = []

    def answer(how: str) -> None:
        editor.page.once("dialog", lambda dialog: (asked.append(dialog.message), getattr(dialog, how)()))

    answer("dismiss")
    editor.choose(other)
    editor.page.wait_for_timeout(300)
    assert editor.know("[store.doc.name, store.doc.undo]") == ["Open sea", 1] and "not saved" in asked[0]
    answer("accept")
    editor.choose(other)
    editor.until("store.doc.name === 'other.png'")
    editor.choose(gradient(tmp_path / "third.png", 160, 130))
    editor.until("store.doc.name === 'third.png'")
    assert len(asked) == 2
    editor.page.click("#shut")
    editor.page.wait_for_selector("#gallery button")
    assert len(asked) == 2 and editor.know("store.doc") is None


def test_a_document_that_is_opened_again_goes_back(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.stroke([(40, 40), (60, 50)])
    editor.stroke([(80, 80), (90, 90)])
    painted = editor.layer("canvas")
    with editor.page.expect_download() as download:
        editor.page.click("#save")
        editor.page.click("[data-save=session]")
    assert download.value.suggested_filename == "Open sea.sige"
    download.value.save_as(tmp_path / "sea.sige")
    editor.until("!store.doc.dirty")
    editor.choose(gradient(tmp_path / "other.png", 160, 130))
    editor.until("store.doc.name === 'other.png'")
    editor.choose(tmp_path / "sea.sige")
    editor.until("store.doc.name === 'Open sea' && store.doc.undo === 2")
    editor.ready()
    np.testing.assert_array_equal(editor.layer("canvas"), painted)
    editor.page.keyboard.press("z")
    editor.page.keyboard.press("z")
    editor.until("store.doc.undo === 0 && store.doc.edited === 0")
    np.testing.assert_array_equal(editor.layer("canvas"), editor.layer("original"))
