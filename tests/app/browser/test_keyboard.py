"""Keys suffice for everything but painting."""

from __future__ import annotations

from collections.abc import Callable

from tests.app.browser.editor import Editor

Edit = Callable[..., Editor]
FOCUSED = "document.activeElement.id || document.activeElement.className"


def test_a_picture_is_opened_rendered_and_saved_by_keys_alone(edit: Edit) -> None:
    editor = edit()
    editor.page.wait_for_selector("#gallery button")
    editor.page.keyboard.press("F6")
    while "gallery" not in editor.page.evaluate("document.activeElement.closest('ul')?.id ?? ''"):
        editor.page.keyboard.press("Tab")
    editor.page.keyboard.press("Enter")
    editor.until("store.doc")
    editor.ready()
    editor.island(60, 60, 5)
    editor.press("Enter")
    editor.until("store.doc.proposed && !store.doc.pending")
    editor.after("Escape")  # rejects it
    assert editor.know("store.doc.edited") > 0 and not editor.know("store.doc.proposed")
    editor.after("Escape")  # and the paint
    assert editor.know("store.doc.edited") == 0
    editor.after("z")
    editor.after("z")
    editor.after("Shift+Z")
    with editor.page.expect_download() as download:
        editor.page.keyboard.press("Control+s")
    assert download.value.suggested_filename.endswith(".png")


def test_tab_hides_panels_on_the_picture_and_nowhere_else(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.press("Tab")
    assert not editor.page.is_visible("#panel") and not editor.page.is_visible("#tools")
    editor.press("Tab")
    assert editor.page.is_visible("#panel")
    editor.page.focus("#size")
    editor.page.keyboard.press("Tab")
    assert editor.page.evaluate(FOCUSED) == "hardness" and editor.page.is_visible("#panel")
    editor.press("Shift+Tab")  # no trap
    assert editor.page.evaluate(FOCUSED) != "pane-a"


def test_f6_goes_around_the_parts_of_the_editor(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.page.focus("#undo")
    seen = []
    for _ in range(5):
        editor.page.keyboard.press("F6")
        seen.append(editor.page.evaluate("document.activeElement.closest('#tools, #panes, #deck, #panel, .top').id"))
    assert seen == ["tools", "panes", "deck", "panel", ""]


def test_keys_choose_tools_and_sizes_and_the_list_tells_them(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    tools = {"b": "brush", "e": "eraser", "g": "bucket", "l": "lasso", "n": "line", "u": "rectangle", "i": "pick"}
    for key, tool in tools.items():
        editor.press(key)
        assert editor.know("store.tool") == tool
        assert editor.page.get_attribute(f"#tools [data-tool={tool}]", "aria-pressed") == "true"
    size = editor.page.inner_text("#size-out")
    editor.press("]", "]")
    assert editor.page.inner_text("#size-out") != size
    editor.press("[", "[")
    assert editor.page.inner_text("#size-out") == size
    editor.press("1")
    assert editor.page.inner_text("#zoom-100") == "100 %"
    editor.press("0")
    assert editor.page.inner_text("#zoom-100") != "100 %"
    editor.press("?")
    listed = editor.page.inner_text("#shortcuts")
    for word in ("Brush", "Undo", "Fit into the window", "hide and show panels"):
        assert word in listed
    editor.page.keyboard.press("b")  # keys do nothing behind the list
    assert editor.know("store.tool") == "pick"
    editor.page.keyboard.press("Escape")
    assert not editor.page.is_visible("#shortcuts")


def test_keys_that_a_field_needs_stay_with_it(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.page.fill("#seed", "")
    editor.page.type("#seed", "10")
    assert editor.page.inner_text("#zoom-100") != "100 %"
    editor.page.press("#seed", "Enter")
    editor.until("store.doc.settings.seed === 10")
    editor.page.focus("#strength")
    editor.page.keyboard.press("ArrowRight")
    editor.until("Math.abs(store.doc.settings.strength * 100 - document.getElementById('strength').value) < 0.5")
