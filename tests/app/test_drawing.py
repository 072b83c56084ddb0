"""A stroke that is under way: given up it was never there, and whoever saves or leaves meanwhile does not lose it."""

from __future__ import annotations

import numpy as np

from sige_mlx.app.protocol import CANVAS, MORE, RENDER
from tests.app.talking import Page, Running, ask, editing, sent
from tests.tiny import original

ISLAND = [(12, 12), (14, 14)]
ELSEWHERE = [(24, 24), (26, 25)]


def begun(page: Page, points: list[tuple[int, int]] = ELSEWHERE) -> int:
    """Paints the first part of a stroke; returns its number."""
    seq = page.draw(points, flags=MORE)
    page.until("state", seq=seq)
    return seq


def given_up(page: Page, seq: int) -> dict[str, object]:
    page.text(f'{{"t": "abandon", "seq": {seq}}}')
    return page.until("state", "error", seq=seq)


def test_a_stroke_that_is_given_up_leaves_nothing_and_what_was_undone_can_be_done_again(running: Running) -> None:
    with editing(running, sent(original())) as page, Page(running) as second:
        page.paint(ISLAND)
        page.paint([(5, 25)])
        page.do("undo")
        before = page.layers[CANVAS].copy()
        state = given_up(page, begun(page))
        assert (state["undo"], state["redo"], state["redo_name"]) == (1, 1, "stroke")
        assert np.array_equal(page.layers[CANVAS], before)
        second.do("settings")
        assert np.array_equal(second.layers[CANVAS], before)
        assert page.do("redo")["redo"] == 0


def test_a_stroke_beside_the_picture_that_is_given_up_takes_nothing_else_back(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        before = page.layers[CANVAS].copy()
        assert given_up(page, begun(page, [(400, 400), (420, 400)]))["undo"] == 1
        assert np.array_equal(page.layers[CANVAS], before)


def test_what_is_given_up_is_not_painted_since_the_result(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        seq = begun(page)
        assert page.document["stale"]
        assert given_up(page, seq)["stale"] is None and not page.do("accept")["proposed"]


def test_a_stroke_is_one_step_though_somebody_rendered_in_its_middle(running: Running) -> None:
    """Who gives it up takes all of it back, unless something was done on top of its beginning."""
    with editing(running, sent(original())) as page, Page(running) as second:
        page.paint(ISLAND)
        before = page.layers[CANVAS].copy()
        for end in (0, None):
            seq = begun(page)
            second.do("render")
            page.draw([(26, 25), (20, 5)], flags=MORE, seq=seq)
            page.until("state", seq=seq)
            if end is None:
                assert given_up(page, seq)["undo"] == 1
            else:
                page.draw([(20, 5), (20, 6)], seq=seq)
                assert page.until("state", seq=seq)["undo"] == 2
                assert page.do("undo")["undo"] == 1
            assert np.array_equal(page.layers[CANVAS], before)


def test_somebody_elses_stroke_cannot_be_given_up(running: Running) -> None:
    with editing(running, sent(original())) as page, Page(running) as second:
        seq = begun(page)
        given_up(second, seq)
        page.do("settings")
        assert not np.array_equal(page.layers[CANVAS], original())


def test_what_is_saved_in_the_middle_of_a_stroke_can_be_undone_and_the_stroke_goes_on(running: Running) -> None:
    with editing(running, sent(original())) as page:
        seq = begun(page)
        status, document, _ = ask(running, "GET", "/api/session")
        assert status == 200
        page.draw([(26, 25), (20, 5)], seq=seq)
        assert page.until("state", seq=seq)["undo"] == 1
        page.do("undo")
        assert np.array_equal(page.layers[CANVAS], original())
        assert ask(running, "POST", "/api/session", document)[0] == 200
        page.until("document")
        assert page.settled()["undo"] == 1
        page.do("undo")
        assert np.array_equal(page.layers[CANVAS], original())


def test_a_stroke_of_a_page_that_is_gone_is_a_step_for_the_others(running: Running) -> None:
    with editing(running, sent(original())) as page:
        with Page(running) as second:
            second.until("loaded")
            begun(second)
        while page.document["undo"] == 0:
            page.hear()
        assert not np.array_equal(page.layers[CANVAS], original())
        page.do("undo")
        assert np.array_equal(page.layers[CANVAS], original())
