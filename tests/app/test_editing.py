"""What a user does, from the pages' side: each sees what the server has, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.app import protocol
from sige_mlx.app.document import Document
from sige_mlx.app.protocol import BEFORE, CANVAS, ORIGINAL, RENDER, RESULT
from sige_mlx.app.studio import PATIENCE
from tests.app.talking import VARIANTS, Page, Running, ask, editing, sent, serving
from tests.tiny import LABEL_SIZE, SIZE, labels, original

ISLAND = [(12, 12), (14, 14)]


def test_a_stroke_changes_the_canvas_alone_and_says_how_much(running: Running) -> None:
    with editing(running, sent(original())) as page:
        state = page.paint(ISLAND)
        assert np.array_equal(page.layers[ORIGINAL], original()) and np.array_equal(page.layers[RESULT], original())
        differs = (page.layers[CANVAS] != original()).any(-1)
        assert differs.any() and state["edited"] == differs.mean()
        assert (state["undo"], state["undo_name"], state["dirty"], state["result"]) == (1, "stroke", True, False)


def test_a_render_is_what_a_session_makes_of_the_canvas(running: Running, tiny: Path) -> None:
    import sige_mlx

    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        page.say("render")
        told = page.until("rendered")
        page.settled()
        session = sige_mlx.load(tiny).session(original())
        wanted = session.edit(page.layers[CANVAS])
        assert np.array_equal(page.layers[RESULT], wanted.image)
        figures = told["figures"]
        assert (figures["edited"], figures["macs"], figures["dense_macs"]) == (
            wanted.edited,
            wanted.macs,
            wanted.dense_macs,
        )
        assert figures["ms"] >= figures["engine_ms"] > 0 and figures["dense_ms"] > 0
        assert len(told["tiles"]["active"]) == figures["tiles"] == wanted.tiles[SIZE, SIZE][0]


def test_progress_is_told_by_the_step_but_not_of_what_takes_a_moment(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.do("settings", steps=400, strength=1.0)
        page.settled()
        page.heard.clear()
        started = time.perf_counter()
        seq = page.say("render") if page.draw(ISLAND) else None
        page.until("rendered")
        told = [of for of in page.heard if of["t"] == "progress"]
        assert all(of["seq"] == seq for of in told)
        assert len(told) <= (time.perf_counter() - started) / PATIENCE
        steps = [of["step"] for of in told if of["what"] == "edit"]
        assert steps and steps == sorted(set(steps)) and {of["steps"] for of in told if of["what"] == "edit"} == {400}


def test_a_stroke_may_render_as_it_ends_and_undo_takes_both_back(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        assert page.settled()["undo"] == 1
        assert not np.array_equal(page.layers[RESULT], original())
        state = page.do("undo")
        assert (state["undo"], state["redo"], state["proposed"], state["edited"]) == (0, 1, False, 0)
        assert all(np.array_equal(page.layers[layer], original()) for layer in range(3))
        assert page.do("redo")["proposed"] and not np.array_equal(page.layers[RESULT], original())


def test_tiles_are_told_when_they_are_others_and_no_more(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        tiles = page.document["tiles"]
        assert tiles["active"] and "tiles" not in page.paint([(25, 25)]) and page.document["tiles"] == tiles
        page.do("undo")
        assert page.do("undo")["tiles"] is None
        assert page.do("redo")["tiles"] == tiles
        with Page(running) as second:
            assert second.document["tiles"] == tiles


def test_an_accepted_result_is_the_original_of_the_next_edit(running: Running, tiny: Path) -> None:
    import sige_mlx

    with editing(running, sent(original())) as page:
        session = sige_mlx.load(tiny).session(original())
        for points in (ISLAND, [(22, 20), (25, 26)]):
            page.draw(points, flags=RENDER)
            page.until("rendered")
            page.settled()
            made = session.edit(page.layers[CANVAS]).image
            assert np.array_equal(page.layers[RESULT], made)
            state = page.do("accept")
            session.commit()
            assert not state["proposed"] and state["edited"] == 0
            assert all(np.array_equal(page.layers[layer], made) for layer in range(3))
        for _ in range(4):
            page.do("undo")
        assert all(np.array_equal(page.layers[layer], original()) for layer in range(3))
        assert "nothing to undo" in page.do("undo")["why"]
        for _ in range(4):
            page.do("redo")
        assert all(np.array_equal(page.layers[layer], made) for layer in range(3))


def test_after_undoing_an_accepted_result_edits_are_of_the_original_before(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        page.do("accept")
        page.do("undo")
        page.do("undo")
        page.draw([(22, 20), (25, 26)], flags=RENDER)
        page.until("rendered")
        page.settled()
        outside = (slice(0, 17), slice(0, 19))
        assert np.array_equal(page.layers[RESULT][outside], original()[outside])
        assert not np.array_equal(page.layers[RESULT], original())


def test_reject_takes_the_result_away_and_then_the_paint(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        state = page.do("reject")
        assert not state["proposed"] and state["edited"] > 0
        assert np.array_equal(page.layers[RESULT], original())
        assert page.do("reject")["edited"] == 0 and np.array_equal(page.layers[CANVAS], original())
        assert "nothing to reject" in page.do("reject")["why"]


def test_what_was_painted_since_must_be_rendered_before_it_is_accepted(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        x, y, w, h = page.paint([(25, 25)])["stale"]
        assert x <= 22 and y <= 22 and x + w >= 28 and y + h >= 28
        assert "has not been rendered" in page.do("accept")["why"]
        page.do("undo")
        assert not page.do("accept")["proposed"]


def test_several_seeds_lie_side_by_side_and_one_is_chosen(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        page.say("render", seeds=[3, 0, 5])
        page.until("rendered")
        assert page.settled()["variants"] == [
            {"seed": 3, "chosen": False},
            {"seed": 0, "chosen": True},
            {"seed": 5, "chosen": False},
        ]
        variants = [page.layers[VARIANTS + i] for i in range(3)]
        assert np.array_equal(page.layers[RESULT], variants[1])
        assert not np.array_equal(variants[0], variants[1]) and not np.array_equal(variants[0], variants[2])
        state = page.do("choose", variant=2)
        assert np.array_equal(page.layers[RESULT], variants[2]) and state["settings"]["seed"] == 5
        state = page.do("undo")
        assert np.array_equal(page.layers[RESULT], variants[1]) and state["settings"]["seed"] == 0
        assert "no variant 4" in page.do("choose", variant=3)["why"]


def test_a_new_stroke_cancels_the_render_before(running: Running) -> None:
    with editing(running, sent(original())) as page:
        first = page.renders_for_long(ISLAND)
        second = page.draw([(25, 25)])
        assert page.until("cancelled", "rendered", seq=first)["t"] == "cancelled"
        assert page.until("state", seq=second)["pending"] is None
        assert np.array_equal(page.layers[RESULT], original())
        page.do("settings", steps=4)
        page.settled()
        page.say("render")
        page.until("rendered")


def test_a_cancelled_render_leaves_nothing_behind(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.renders_for_long(ISLAND)
        page.say("cancel")
        page.until("cancelled")
        assert page.settled()["proposed"] is False and page.document["undo"] == 1


def test_what_cannot_be_done_cancels_nothing(running: Running) -> None:
    with editing(running, sent(original())) as page:
        seq = page.renders_for_long(ISLAND)
        for t, fields in (("redo", {}), ("choose", {"variant": 1}), ("fill", {"x": -1, "y": 0, "value": [0, 0, 0]})):
            assert page.do(t, **fields)["t"] == "error"
        page.do("settings")
        assert page.document["pending"] == {"seq": seq, "what": "render"}
        page.say("cancel")
        assert page.settled()["pending"] is None


def test_a_second_page_and_one_that_comes_again_see_everything(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        with Page(running) as second:
            second.until("loaded")
            assert {k: v for k, v in second.document.items() if k != "seq"} == {
                k: v for k, v in page.document.items() if k != "seq"
            }
            assert all(np.array_equal(second.layers[of], page.layers[of]) for of in range(3))
            seq = page.draw([(25, 25)], flags=protocol.MORE)
            second.until("state")
            assert np.array_equal(second.layers[CANVAS][25, 25], (200, 160, 60))
            page.draw([(28, 25)], seq=seq)
            second.until("state")
            assert second.document["undo"] == 2


def test_what_is_the_same_in_several_layers_is_sent_once(running: Running) -> None:
    """The canvas and the result of a picture, where nothing is painted or rendered, are its original."""
    with editing(running, sent(original())) as page, Page(running) as second:
        places = second.placed
        second.until("loaded")
        assert places == [(ORIGINAL, SIZE, SIZE)]
        assert all(np.array_equal(second.layers[of], original()) for of in range(3))
        page.paint(ISLAND)
        with Page(running) as third:
            third.until("loaded")
            assert [layer for layer, *_ in third.placed] == [ORIGINAL, CANVAS]
            assert all(np.array_equal(third.layers[of], page.layers[of]) for of in range(3))


def test_a_stroke_that_never_ends_is_kept(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint(ISLAND, flags=protocol.MORE)
        assert page.do("undo")["redo"] == 1
        assert np.array_equal(page.layers[CANVAS], original())


def test_a_bucket_fills_the_area_within_the_tolerance(running: Running) -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[:, 16:] = 40
    picture[:, 24:] = 200
    with editing(running, sent(picture)) as page:
        page.do("fill", x=3, y=3, value=[1, 2, 3], tolerance=50)
        assert (page.layers[CANVAS][:, :24] == (1, 2, 3)).all() and (page.layers[CANVAS][:, 24:] == 200).all()
        page.do("undo")
        assert np.array_equal(page.layers[CANVAS], picture)
        assert "beside the picture" in page.do("fill", x=-1, y=3, value=[1, 2, 3])["why"]
        assert "value must be" in page.do("fill", x=1, y=3, value=[1, 2])["why"]


def test_a_colour_is_picked_from_the_layer_that_is_asked(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        page.say("pick", x=13.5, y=13.2)
        assert page.until("picked")["value"] == [200, 160, 60]
        page.say("pick", x=13.5, y=13.2, layer=ORIGINAL)
        assert page.until("picked")["value"] == original()[13, 13].tolist()


def test_labels_are_painted_in_their_colours_and_rendered(tiny_labels: Path) -> None:
    import sige_mlx

    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        palette = {of["value"]: of for of in page.document["palette"]}
        assert palette[21]["name"] == "vegetation" and palette[21]["colour"] == "#6b8e23"
        session = sige_mlx.load(tiny_labels).session(labels())
        base = session.record()
        assert np.array_equal(page.layers[RESULT], base) and page.document["result"]
        page.draw([(10, 14), (14, 20)], (21,), protocol.BOX, flags=RENDER)
        page.until("rendered")
        page.settled()
        edited = labels()
        edited[14:20, 10:14] = 21
        assert np.array_equal(page.layers[RESULT], session.edit(edited).image)
        page.say("pick", x=12, y=15)
        picked = page.until("picked")
        assert (picked["value"], picked["name"], picked["colour"]) == ([21], "vegetation", "#6b8e23")
        assert np.array_equal(page.layers[BEFORE], base)
        page.do("accept")
        assert page.document["edited"] == 0 and page.document["result"]
        result = page.layers[RESULT].copy()
        assert np.array_equal(page.layers[BEFORE], result)
        assert page.do("undo")["proposed"] and np.array_equal(page.layers[BEFORE], base)
        page.do("undo")
        assert np.array_equal(page.layers[RESULT], base)
        page.do("redo")
        page.do("redo")
        assert np.array_equal(page.layers[RESULT], result)
        assert "no label 40" in page.paint([(3, 3)], (40,))["why"]
        page.do("fill", x=3, y=3, value=[4])
        assert page.layers[CANVAS].shape == (*LABEL_SIZE, 3)


def test_a_translation_is_of_all_of_the_picture(tiny_translation: Path) -> None:
    import sige_mlx

    picture = original(32, 48)
    with serving(tiny_translation) as running, editing(running, sent(picture)) as page:
        session = sige_mlx.load(tiny_translation).session(picture)
        assert np.array_equal(page.layers[RESULT], session.record())
        page.draw(ISLAND, flags=RENDER)
        page.until("rendered")
        page.settled()
        assert np.array_equal(page.layers[RESULT], session.edit(page.layers[CANVAS]).image)
        assert page.document["settings"]["seed"] is None


def test_settings_are_those_that_a_network_can_take(running: Running) -> None:
    with editing(running, sent(original())) as page:
        assert page.document["settings"]["steps"] == 20
        assert page.do("settings", strength=0.25, seed=9, prompt="a boat")["settings"] | {
            "model": "",
            "device": "",
        } == {
            "model": "",
            "device": "",
            "prompt": None,
            "quality": "balanced",
            "seed": 9,
            "strength": 0.25,
            "steps": 20,
            "scale": None,
        }
        page.settled()
        for wrong in (
            {"strength": 0},
            {"strength": "much"},
            {"steps": 0},
            {"steps": 1.5},
            {"seed": -1},
            {"quality": "best"},
            {"device": "abacus"},
            {"scale": 0},
            {"model": "/etc"},
            {"model": "blue-marble-labels-256"},
            *({name: [{}]} for name in page.document["settings"] if name != "prompt"),
        ):
            assert page.do("settings", **wrong)["t"] == "error", wrong
        assert page.do("settings", __class__="int", no_such_thing=1)["t"] == "state"
        assert page.do("settings")["settings"]["strength"] == 0.25


def test_without_a_picture_there_is_one_sentence(running: Running) -> None:
    with Page(running) as page:
        assert page.document["name"] is None
        assert page.do("undo")["why"] == page.paint(ISLAND)["why"] == "no picture is open"
        status, body, _ = ask(running, "GET", "/api/picture")
        assert status == 422 and b"no picture is open" in body


def test_nonsense_is_answered_and_the_page_goes_on(running: Running) -> None:
    with editing(running, sent(original())) as page:
        for nonsense in ("", "{", '{"t": "undo"}', "[1]"):
            page.text(nonsense)
            page.until("error")
        page.raw(b"\x07" * 40)
        page.until("error")
        page.paint(ISLAND)


def test_a_fault_of_ours_is_told_and_the_page_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    with editing(running, sent(original())) as page:
        monkeypatch.setattr(Document, "pick", fails)
        page.say("pick", x=1, y=1)
        assert page.until("error")["why"] == "that failed: division by zero"
        page.paint(ISLAND)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_picture_of_any_size_is_edited_in_a_window(running: Running) -> None:
    picture = original(150, 210)
    with editing(running, sent(picture)) as page:
        page.draw([(100, 60), (104, 66)], flags=RENDER)
        told = page.until("rendered")
        page.settled()
        x, y, w, h = told["figures"]["window"]
        assert (w, h) == (SIZE, SIZE) and x <= 97 and y <= 57 and x + w >= 107
        window = np.zeros(picture.shape[:2], bool)
        window[y : y + h, x : x + w] = True
        assert np.array_equal(page.layers[RESULT][~window], picture[~window])
        assert not np.array_equal(page.layers[RESULT], picture)
        assert told["tiles"]["x"] == x and told["tiles"]["size"] == 4


@pytest.mark.parametrize("size", [(32, 32), (600, 700)])
def test_whole_layers_arrive_whatever_the_size(running: Running, size: tuple[int, int]) -> None:
    picture = original(*size)
    with editing(running, sent(picture)) as page:
        page.do("settings")
        assert all(np.array_equal(page.layers[layer], picture) for layer in range(3))


def test_painting_while_the_first_picture_is_made_renders_after_it(tiny_labels: Path) -> None:
    with serving(tiny_labels) as running, Page(running) as page:
        assert ask(running, "POST", "/api/open", sent(labels()))[0] == 200
        page.draw([(10, 14), (14, 20)], (21,), protocol.BOX, flags=RENDER)
        page.until("rendered")
        assert page.settled()["proposed"]
