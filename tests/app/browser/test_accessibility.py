"""What axe-core (MPL-2.0; the package axe-playwright-python brings it, for tests alone) finds on the page."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from tests.app.browser.editor import Editor

Edit = Callable[..., Editor]


def serious(editor: Editor) -> list[Any]:
    pytest.importorskip("axe_playwright_python")
    editor.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = editor.page.evaluate(
        "axe.run().then(t => t.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html + n.failureSummary)]))"
    )
    return [one for one in found if one[0] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found(edit: Edit, scheme: str) -> None:
    editor = edit(color_scheme=scheme, device_scale_factor=2, reduced_motion="reduce")
    editor.page.wait_for_selector("#gallery button")
    assert not serious(editor)
    editor.gallery("blue-marble-128")
    editor.page.select_option("#count", "2")
    editor.island(60, 60, 6)
    assert not serious(editor)
    editor.press("Enter")
    editor.until("store.doc.variants.length === 2 && !store.doc.pending")
    editor.press("x", "t")
    assert not serious(editor)
    editor.press("?")
    assert not serious(editor)
    editor.page.keyboard.press("Escape")
    editor.page.click("#save")
    assert not serious(editor)


def test_nothing_serious_is_found_beside_labels_and_on_a_telephone(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-labels-256")
    assert not serious(editor)
    narrow = edit(viewport={"width": 390, "height": 780}, has_touch=True)
    narrow.ready()
    narrow.page.click("#panel-toggle")
    assert not serious(narrow)
