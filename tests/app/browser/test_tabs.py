"""The server owns the document: other tabs, reloads and lost connections lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.app.browser.editor import Editor

Edit = Callable[..., Editor]


def another(editor: Editor, address: str) -> Editor:
    page: Any = editor.page.context.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    tab = Editor(page)
    tab.ready()
    return tab


def test_every_tab_sees_what_another_does(edit: Edit, address: str) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.island(40, 40, 6)
    tab = another(editor, address)
    np.testing.assert_array_equal(tab.layer("canvas"), editor.layer("canvas"))
    tab.island(90, 60, 6)
    editor.until(f"store.doc.revision === {tab.know('store.doc.revision')}")
    np.testing.assert_array_equal(tab.layer("canvas"), editor.layer("canvas"))
    editor.render()
    tab.until(f"store.doc.revision === {editor.know('store.doc.revision')}")
    np.testing.assert_array_equal(tab.layer("result"), editor.layer("result"))
    tab.after("z")
    editor.until("!store.doc.proposed")


def test_a_reload_in_the_middle_of_a_render_finds_its_result(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.island(60, 60, 12)
    editor.press("Enter")
    editor.page.reload()
    editor.page.wait_for_selector("html[data-ready]")
    editor.until("store.doc.proposed && !store.doc.pending")
    assert (editor.layer("result") != editor.layer("original")).any()


def test_what_is_painted_without_a_connection_is_sent_when_it_is_back(edit: Edit) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    editor.page.evaluate("import('/static/connection.js').then(connection => connection.drop())")
    editor.page.wait_for_selector("#connection[data-state=lost]")
    editor.stroke([(50, 50), (60, 50)])
    editor.page.wait_for_selector("#connection[data-state=open]")
    assert editor.know("store.doc.edited") > 0


def test_without_the_token_the_page_says_what_it_needs(edit: Edit, address: str) -> None:
    editor = edit()
    stranger = editor.page.context.browser.new_context().new_page()
    stranger.goto(address.split("#")[0])
    stranger.wait_for_function("() => document.getElementById('status').textContent.includes('address')")
    stranger.context.close()
