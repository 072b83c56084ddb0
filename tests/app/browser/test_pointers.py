"""Mouse, pen, fingers and wheel on the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.browser.editor import Editor
from tests.app.browser.test_files import gradient

Edit = Callable[..., Editor]
RED = (255, 0, 0)


@pytest.fixture
def sea(edit: Edit) -> Callable[..., Editor]:
    """Opens the embedded picture, to be painted on in red."""

    def opened(**settings: Any) -> Editor:
        editor = edit(**settings)
        editor.gallery("blue-marble-128")
        editor.page.evaluate("import('/static/brush.js').then(brush => { brush.setColour('#ff0000') })")
        return editor

    return opened


def red(editor: Editor) -> np.ndarray:
    return (editor.layer("canvas") == RED).all(-1)


def devtools(editor: Editor) -> Any:
    return editor.page.context.new_cdp_session(editor.page)


@pytest.mark.parametrize("density", [1, 1.5, 2])
def test_the_brush_lands_under_the_pointer_however_far_one_zooms(sea: Edit, density: float) -> None:
    editor = sea(device_scale_factor=density)
    before = editor.at(70, 50)
    editor.page.mouse.move(*before)
    editor.page.mouse.wheel(0, -500)
    editor.page.wait_for_function("() => parseFloat(document.getElementById('zoom-100').textContent) > 900")
    np.testing.assert_allclose(editor.at(70, 50), before, atol=1.5)  # the wheel zooms at the pointer
    editor.stroke([(70.5, 50.5), (72.5, 50.5)])
    ys, xs = np.nonzero(red(editor))
    assert abs(ys.mean() - 50) <= 0.6 and abs(xs.mean() - 71) <= 0.6


def test_a_stroke_that_ends_beside_the_picture_is_kept(sea: Edit) -> None:
    editor = sea()
    editor.stroke([(120, 60), (127, 60), (160, 62)])
    assert red(editor)[60, 119:128].all()
    revision = editor.know("store.doc.revision")
    editor.page.mouse.move(*editor.at(100, 20))
    editor.page.mouse.down()
    editor.page.mouse.move(1270, 300, steps=5)  # over the panel
    editor.page.mouse.up()
    editor.until(f"store.doc.revision > {revision}")
    assert red(editor)[20, 101]


def test_a_pen_that_presses_harder_draws_wider(sea: Edit) -> None:
    editor = sea()
    editor.page.evaluate("import('/static/brush.js').then(brush => { brush.setDiameter(20) })")
    pen = devtools(editor)

    def touch(kind: str, x: float, y: float, force: float) -> None:
        left, top = editor.at(x, y)
        pen.send(
            "Input.dispatchMouseEvent",
            {
                "type": kind,
                "x": left,
                "y": top,
                "button": "left",
                "buttons": 0 if kind == "mouseReleased" else 1,
                "pointerType": "pen",
                "force": force,
                "clickCount": 0 if kind == "mouseMoved" else 1,
            },
        )

    revision = editor.know("store.doc.revision")
    touch("mousePressed", 20, 64, 0.1)
    for i in range(1, 11):
        touch("mouseMoved", 20 + 8 * i, 64, 0.1 + 0.09 * i)
    touch("mouseReleased", 100, 64, 0)
    editor.until(f"store.doc.revision > {revision}")
    widths = red(editor).sum(0)
    assert 1 <= widths[22] <= 5 and 16 <= widths[98] <= 22


def test_a_wide_stroke_is_sent_as_it_is_drawn_and_is_one_stroke(sea: Edit, tmp_path: Path) -> None:
    editor = sea()
    editor.choose(gradient(tmp_path / "large.png", 1600, 1200))
    editor.until("store.doc.name === 'large.png'")
    editor.ready()
    editor.page.evaluate("import('/static/brush.js').then(brush => { brush.setDiameter(200) })")

    def draw() -> None:
        editor.page.mouse.move(*editor.at(200, 300))
        editor.page.mouse.down()
        editor.page.mouse.move(*editor.at(1300, 500), steps=30)
        editor.page.mouse.move(*editor.at(300, 900), steps=30)
        editor.until("store.doc.edited > 0.1")

    editor.stroke([(100, 1100), (110, 1100)])
    editor.after("z")
    draw()
    editor.page.keyboard.press("Escape")
    editor.until("store.doc.edited === 0 && store.doc.undo === 0 && store.doc.redo === 1")
    editor.page.mouse.up()
    editor.after("y")
    assert red(editor)[1100, 105] and not red(editor)[300, 300]
    editor.after("z")
    draw()
    editor.page.mouse.up()
    editor.until("store.doc.undo === 1")
    assert red(editor)[[300, 500, 900], [200, 1300, 300]].all()
    assert editor.know("import('/static/fresh.js').then(({ fresh }) => fresh.waiting.length)") == 0
    editor.page.keyboard.press("z")
    editor.until("store.doc.edited === 0 && store.doc.undo === 0")


def test_escape_takes_back_nothing_but_the_stroke_that_is_drawn(sea: Edit) -> None:
    """Beside the picture, too, where parts of a wide one are sent that paint nothing."""
    editor = sea()
    editor.stroke([(20, 20), (40, 20)])
    painted = red(editor)
    revision = editor.know("store.doc.revision")
    editor.page.evaluate("import('/static/brush.js').then(brush => { brush.brush.diameter = 40 })")
    editor.page.evaluate("import('/static/view.js').then(view => view.zoomBy(0.2))")
    editor.page.mouse.move(*editor.at(-200, 64))
    editor.page.mouse.down()
    editor.page.mouse.move(*editor.at(-200, -100), steps=10)
    for _ in range(30):
        editor.page.mouse.move(*editor.at(-200, 200), steps=2)
        editor.page.mouse.move(*editor.at(-200, -100), steps=2)
    editor.until(f"store.doc.revision > {revision}")
    editor.page.keyboard.press("Escape")
    editor.page.mouse.up()
    editor.until(f"store.doc.revision > {revision} && store.doc.undo === 1")
    editor.page.wait_for_timeout(200)
    assert editor.know("store.doc.undo") == 1
    np.testing.assert_array_equal(red(editor), painted)


def test_one_finger_paints_and_two_move_and_zoom(sea: Edit) -> None:
    editor = sea(has_touch=True, device_scale_factor=2)
    fingers = devtools(editor)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        placed = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": placed})

    revision = editor.know("store.doc.revision")
    touch("touchStart", editor.at(30, 30))
    for x in range(31, 60, 3):
        touch("touchMove", editor.at(x, 30))
    touch("touchEnd")
    editor.until(f"store.doc.revision > {revision}")
    assert red(editor)[30, 30:58].all()

    revision, painted = editor.know("store.doc.revision"), red(editor)
    (x, y), wide = editor.at(64, 64), editor.at(128, 0)[0] - editor.at(0, 0)[0]
    touch("touchStart", (x - 50, y))
    touch("touchMove", (x - 48, y))
    touch("touchStart", (x - 48, y), (x + 50, y))
    for apart in range(50, 101, 10):
        touch("touchMove", (x - apart, y + 20), (x + apart, y + 20))
    touch("touchEnd")
    assert editor.at(128, 0)[0] - editor.at(0, 0)[0] == pytest.approx(2 * wide, rel=0.1)
    assert editor.know("store.doc.revision") == revision  # what the first finger had begun is no stroke
    np.testing.assert_array_equal(red(editor), painted)


def test_space_drags_the_picture_and_paints_nothing(sea: Edit) -> None:
    editor = sea()
    revision, (x, y) = editor.know("store.doc.revision"), editor.at(64, 64)
    editor.page.focus("#pane-a")
    editor.page.keyboard.down(" ")
    editor.page.mouse.move(x, y)
    editor.page.mouse.down()
    editor.page.mouse.move(x + 60, y - 40, steps=4)
    editor.page.mouse.up()
    editor.page.keyboard.up(" ")
    np.testing.assert_allclose(editor.at(64, 64), (x + 60, y - 40), atol=0.6)
    assert editor.know("store.doc.revision") == revision


def test_every_tool_draws_what_it_is_called(sea: Edit) -> None:
    editor = sea()
    before = editor.layer("canvas")
    editor.press("u")
    editor.stroke([(10, 10), (30, 20)])
    box = red(editor)
    assert box[11:19, 11:29].all() and not box[22:, :].any() and not box[:, 32:].any()
    editor.press("l")
    editor.stroke([(60, 10), (90, 10), (90, 30), (60, 30)])
    assert red(editor)[12:28, 62:88].all()
    editor.press("n")
    editor.stroke([(10, 60), (110, 60)])
    assert red(editor)[60, 12:108].all()
    editor.press("e")
    editor.stroke([(5, 60), (120, 60)])
    np.testing.assert_array_equal(editor.layer("canvas")[60, 20:100], before[60, 20:100])
    editor.press("i")
    editor.page.mouse.click(*editor.at(20, 15))
    editor.page.wait_for_function("() => document.getElementById('hex').value === '#ff0000'")


def test_escape_gives_up_a_stroke_that_is_under_way(sea: Edit) -> None:
    editor = sea()
    revision = editor.know("store.doc.revision")
    editor.stroke([(20, 20), (60, 60)], lift=False)
    editor.page.keyboard.press("Escape")
    editor.page.mouse.up()
    editor.stroke([(100, 100), (101, 100)])
    assert editor.know("store.doc.revision") == revision + 1
    assert not red(editor)[40, 40]
