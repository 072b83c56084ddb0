"""A model that edits by tokens, in the page: words, a render when it is asked for, its progress, keeping and undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.browser.editor import Editor
from tests.app.browser.test_accessibility import serious

pytest.importorskip("mflux")

Edit = Callable[..., Editor]
MODEL = "flux2-tiny"


@pytest.fixture
def options() -> list[str]:
    return ["--model", MODEL]


@pytest.fixture
def editor(edit: Edit, tmp_path: Path) -> Editor:
    picture = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(picture).save(tmp_path / "a.png")
    opened = edit()
    opened.choose(tmp_path / "a.png")
    opened.until(f"store.doc?.model === '{MODEL}'")
    opened.ready()
    return opened


def test_words_are_rendered_kept_changed_and_taken_back(editor: Editor) -> None:
    page, original = editor.page, editor.layer("original")
    assert page.is_visible("#prompt") and page.is_visible("#strength") and page.is_visible("#seed")
    for gone in ("#live-label", "#count", "#quality", "#device", "#scale"):
        assert not page.is_visible(gone)
    editor.colour("#ff0000")
    editor.stroke([(20, 20), (30, 24)])
    painted = (editor.layer("canvas") != original).any(-1)
    page.fill("#prompt", "a red boat")
    page.press("#prompt", "Enter")
    editor.until("store.doc.proposed && !store.doc.stale && !store.doc.pending")
    assert editor.know("store.doc.settings.prompt") == "a red boat"
    boat = editor.layer("result")
    changed = (boat != original).any(-1)
    assert changed[painted].any() and changed.mean() < 0.3
    assert not serious(editor)
    assert "Tokens computed" in page.inner_text("#figures") and "less" in page.inner_text("#figures")

    page.fill("#prompt", "a whale, dxz")  # letters that are shortcuts on the picture
    page.press("#prompt", "Enter")
    editor.until("store.doc.settings.prompt === 'a whale, dxz' && !store.doc.pending && store.doc.undo === 3")
    assert (editor.layer("result") != boat).any()
    editor.after("z")
    np.testing.assert_array_equal(editor.layer("result"), boat)
    editor.after("Enter")  # keeps it
    np.testing.assert_array_equal(editor.layer("original"), boat)
    editor.stroke([(50, 50), (54, 54)])
    editor.render()
    editor.after("Escape")
    editor.after("Escape")
    np.testing.assert_array_equal(editor.layer("canvas"), boat)


def test_progress_is_told_by_the_step_and_a_render_can_be_stopped(editor: Editor) -> None:
    page = editor.page
    page.evaluate("import('/static/connection.js').then(({ command }) => command('settings', { steps: 64 }))")
    editor.until("store.doc.settings.steps === 64 && !store.doc.pending")
    editor.stroke([(20, 20), (40, 40)])
    editor.press("Enter")
    page.wait_for_function("() => /step \\d+ of 48/.test(document.getElementById('progress-text').textContent)")
    editor.press("Escape")
    editor.until("!store.doc.pending")
    assert not editor.know("store.doc.proposed") and page.is_visible("#render")
    editor.render()


def test_a_stroke_renders_nothing_though_others_do_so_live(editor: Editor) -> None:
    editor.page.evaluate("localStorage.setItem('sige.live', 'true'); localStorage.setItem('sige.count', '3')")
    editor.page.reload()
    editor.page.wait_for_selector("html[data-ready]")
    editor.ready()
    editor.stroke([(20, 20), (40, 40)])
    editor.page.wait_for_timeout(500)
    assert not editor.know("store.doc.pending") and not editor.know("store.doc.proposed")
    editor.render()
    assert not editor.page.is_visible("#strip")
    seed = editor.know("store.doc.settings.seed")
    editor.page.click("#again")
    editor.until(f"store.doc.settings.seed !== {seed} && !store.doc.pending && store.doc.undo === 3")


def test_models_that_are_here_can_be_chosen_for_a_picture_of_ones_own(edit: Edit) -> None:
    editor = edit()
    editor.page.wait_for_selector(f"#open-model option[value='{MODEL}']", state="attached")
    assert editor.page.is_visible("#open-model")
    names = editor.page.locator("#open-model option").all_inner_texts()
    assert {MODEL, "blue-marble-128"} <= {*names}
    assert editor.page.input_value("#open-model") == MODEL  # which the command named
