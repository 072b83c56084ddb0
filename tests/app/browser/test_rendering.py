"""Rendering: by hand and live, step by step, with several seeds; what it took; and what one compares it with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.app.browser.editor import Editor

Edit = Callable[..., Editor]


@pytest.fixture
def sea(edit: Edit) -> Editor:
    editor = edit()
    editor.gallery("blue-marble-128")
    return editor


def test_every_stroke_renders_as_the_pen_lifts_where_that_is_wanted(sea: Editor) -> None:
    sea.page.check("#live")
    sea.page.evaluate("performance.clearMeasures()")
    sea.island(60, 60, 5)
    sea.until("store.doc.proposed && !store.doc.stale && !store.doc.pending")
    sea.page.wait_for_function("() => performance.getEntriesByName('pen up to pixels').length === 1")
    [taken] = sea.page.evaluate("performance.getEntriesByName('pen up to pixels').map(e => [e.duration, e.detail])")
    assert taken[0] > taken[1]["engine_ms"] > 0


def test_progress_is_told_by_the_step_and_a_render_can_be_stopped(sea: Editor) -> None:
    sea.page.evaluate("import('/static/connection.js').then(({ command }) => command('settings', { steps: 50 }))")
    sea.until("store.doc.settings.steps === 50")
    sea.island(60, 60, 20)
    sea.press("Enter")
    sea.page.wait_for_function("() => /step \\d+ of 50/.test(document.getElementById('progress-text').textContent)")
    sea.press("Escape")
    sea.until("!store.doc.pending")
    assert not sea.know("store.doc.proposed") and sea.know("store.doc.edited") > 0
    assert sea.page.is_visible("#render") and not sea.page.is_visible("#progress")


def test_a_new_stroke_stops_the_render_before_it(sea: Editor) -> None:
    sea.page.evaluate("import('/static/connection.js').then(({ command }) => command('settings', { steps: 50 }))")
    sea.until("store.doc.settings.steps === 50")
    sea.island(60, 60, 20)
    sea.press("Enter")
    sea.until("store.progress?.step > 0")
    sea.stroke([(30, 30)])
    sea.until("!store.doc.pending")
    assert not sea.know("store.doc.proposed")
    sea.render()


def test_several_seeds_stand_side_by_side_and_one_is_chosen(sea: Editor) -> None:
    sea.page.select_option("#count", "3")
    sea.island(60, 60, 8)
    sea.press("Enter")
    sea.until("store.doc.variants.length === 3 && !store.doc.pending")
    sea.page.wait_for_function("() => document.querySelectorAll('#strip .variant').length === 3")
    seeds = sea.know("store.doc.variants.map(variant => variant.seed)")
    assert len(set(seeds)) == 3
    thumbs = sea.page.evaluate("[...document.querySelectorAll('#strip canvas')].map(canvas => canvas.toDataURL())")
    assert len(set(thumbs)) == 3
    first = sea.layer("result")
    sea.page.click("#strip .variant >> nth=2")
    sea.until("store.doc.variants[2].chosen")
    assert (sea.layer("result") != first).any()
    sea.page.keyboard.press("ArrowRight")  # around to the first
    sea.until("store.doc.variants[0].chosen")
    np.testing.assert_array_equal(sea.layer("result"), first)
    sea.after("Enter")
    assert not sea.page.is_visible("#strip")
    np.testing.assert_array_equal(sea.layer("original"), first)


def test_figures_tell_how_much_less_was_computed(sea: Editor) -> None:
    assert not sea.page.is_visible("#figures")
    sea.island(60, 60, 3)
    sea.render()
    told, figures = sea.page.inner_text("#figures"), sea.know("store.doc.figures")
    assert figures["macs"] < figures["dense_macs"]
    assert f"{figures['dense_macs'] / figures['macs']:.1f}× less" in told
    assert f"{figures['tiles']:,}" in told


def test_tiles_lie_where_something_was_painted(sea: Editor) -> None:
    sea.island(60, 60, 3)
    sea.render()
    sea.page.wait_for_timeout(2000)  # until they have faded
    plain = sea.screen().astype(int)
    sea.press("t")
    sea.page.wait_for_timeout(300)
    marked = np.abs(sea.screen() - plain).sum(-1) > 20

    def touched(x: float, y: float) -> bool:
        left, top = (round(at) for at in sea.at(x, y))
        return bool(marked[top - 8 : top + 8, left - 8 : left + 8].any())

    assert touched(60, 60) and not touched(110, 110)
    assert {button for button in ("tiles-toggle",) if sea.page.get_attribute(f"#{button}", "aria-pressed") == "true"}


def test_the_slider_parts_original_and_result(sea: Editor) -> None:
    sea.island(64, 64, 20)
    sea.render()
    sea.page.wait_for_timeout(2000)
    sea.press("x")
    sea.page.focus("#divider")
    sea.page.keyboard.press("End")
    original = sea.screen()
    sea.page.keyboard.press("Home")
    result = sea.screen()
    sea.page.mouse.move(*sea.at(0, 30))
    sea.page.mouse.down()
    sea.page.mouse.move(*sea.at(64, 30), steps=4)
    sea.page.mouse.up()
    assert sea.know("store.slider") == pytest.approx(0.5, abs=0.02)
    both = sea.screen()
    left, right = [tuple(round(at) for at in sea.at(x, 60)) for x in (54, 74)]
    for (x, y), whole in ((left, original), (right, result)):
        np.testing.assert_array_equal(both[y - 5 : y + 5, x - 5 : x + 5], whole[y - 5 : y + 5, x - 5 : x + 5])
    assert (original != result).any()


def test_paint_on_a_result_is_seen_before_it_is_rendered(sea: Editor) -> None:
    sea.island(40, 40, 6)
    sea.render()
    sea.colour("#ff0000")
    sea.stroke([(90, 90), (96, 90)])
    sea.page.wait_for_timeout(2000)
    x, y = (round(at) for at in sea.at(93, 90))
    sea.page.mouse.move(*sea.at(20, 110))
    assert tuple(sea.screen()[y, x]) == (255, 0, 0)
    assert sea.shown("result")


def test_progress_is_that_of_the_render_that_runs_and_of_no_other(sea: Editor) -> None:
    """One that was stopped may have told of its last step meanwhile, or the page may know of it still."""
    emit = "([of, fields]) => import('/static/store.js').then(({ emit }) => emit('message', { t: of, ...fields }))"

    def hear(of: str, **fields: object) -> None:
        sea.page.evaluate(emit, [of, fields])

    revision = sea.know("store.doc.revision")
    for seq in (7, 8):
        hear("state", revision=revision, pending={"seq": seq, "what": "render"})
        if seq == 8:  # no more than a moment has passed of it
            assert "30" not in sea.page.text_content("#progress-text")
            hear("progress", seq=7, what="edit", step=31, steps=50)
            assert "31" not in sea.page.text_content("#progress-text")
        hear("progress", seq=seq, what="edit", step=seq + 23, steps=50)
        assert sea.page.text_content("#progress-text") == f"Rendering · step {seq + 23} of 50"
        assert sea.page.is_visible("#cancel")
    hear("state", revision=revision, pending=None)
    assert not sea.page.is_visible("#cancel")
    document = {**sea.know("store.doc"), "pending": {"seq": 9, "what": "render"}}
    hear("document", **{name: value for name, value in document.items() if name != "t"})  # as after a reload
    assert sea.page.is_visible("#cancel") and sea.page.text_content("#progress-text") == "Rendering…"
