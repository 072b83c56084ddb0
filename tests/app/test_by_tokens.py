"""The editor with a model that edits by tokens, tiny and random: words, renders that are asked for, and going back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

pytest.importorskip("mflux")

from sige_mlx.app import by_tokens, protocol
from sige_mlx.app.rendering import Cancelled, Renderer, Request
from sige_mlx.app.running import Running
from sige_mlx.editing.images import Source
from sige_mlx.errors import SigeError
from sige_mlx.tokens import klein
from sige_mlx.tokens.session import TokenSession
from tests.app.talking import Page, ask, editing, sent, serving

MODEL = "flux2-tiny"

Said: TypeAlias = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(MODEL) as server:
        yield server


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture
def page(running: Running, picture: np.ndarray) -> Iterator[Page]:
    with editing(running, sent(picture)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """What the renderer says of its progress, of which a page is told but the last of each moment."""
    found: Said = []
    say = Renderer._say

    def noted(self: Renderer, request: Request, what: str, step: int, steps: int, seed: int | None) -> None:
        found.append((what, step, steps))
        say(self, request, what, step, steps, seed)

    monkeypatch.setattr(Renderer, "_say", noted)
    return found


def render(page: Page, said: Said) -> list[str]:
    """Renders; returns the stages of the render."""
    said.clear()
    done = page.until("rendered", "error", seq=page.say("render"))
    assert done["t"] == "rendered", done
    page.settled()
    return list(dict.fromkeys(what for what, *_ in said))


def test_words_say_what_is_rendered_where_something_was_painted(page: Page, picture: np.ndarray, said: Said) -> None:
    settings = page.document["settings"]
    assert (settings["prompt"], settings["steps"], settings["strength"], settings["quality"]) == ("", 4, 0.75, None)
    page.do("settings", prompt="a red boat")
    page.paint([(20, 20), (24, 20)])
    painted = (page.layers[protocol.CANVAS] != picture).any(-1)
    assert render(page, said) == ["open", "record", "edit"]
    assert [at for what, *at in said if what == "edit"] == [[0, 3], [1, 3], [2, 3]]
    boat, figures = page.layers[protocol.RESULT].copy(), page.document["figures"]
    changed = (boat != picture).any(-1)
    assert changed[painted].any() and changed.mean() < 0.2
    assert figures["way"] == "tokens" and 0 < figures["tiles"] < figures["all_tiles"] == 12 * 16
    assert figures["macs"] < figures["dense_macs"] and len(page.document["tiles"]["active"]) == figures["tiles"]
    assert page.document["tiles"]["size"] == 4
    page.do("settings", prompt="a grey whale")
    assert render(page, said) == ["open", "edit"]  # what was recorded is read with other words
    assert (page.layers[protocol.RESULT] != boat).any()
    assert page.document["figures"]["macs"] > figures["macs"]


def test_a_result_is_kept_and_going_back_records_nothing_again(page: Page, picture: np.ndarray, said: Said) -> None:
    page.do("settings", prompt="a red boat")
    page.paint([(20, 20), (24, 20)])
    render(page, said)
    first = page.layers[protocol.RESULT].copy()
    page.do("accept")
    np.testing.assert_array_equal(page.layers[protocol.ORIGINAL], first)
    page.paint([(50, 36)])
    assert render(page, said) == ["open", "edit"]
    page.do("reject")
    page.do("undo"), page.do("undo"), page.do("undo"), page.do("undo")  # to the result that was accepted
    np.testing.assert_array_equal(page.layers[protocol.ORIGINAL], picture)
    assert page.document["proposed"]
    assert render(page, said) == ["open", "edit"]
    np.testing.assert_array_equal(page.layers[protocol.RESULT], first)


def test_a_stroke_renders_nothing_by_itself_and_there_is_one_result_at_a_time(page: Page) -> None:
    page.paint([(20, 20)], flags=protocol.RENDER)
    page.do("fill", x=50, y=40, value=[1, 2, 3], render=True)
    assert page.document["pending"] is None and not page.document["proposed"]
    done = page.until("rendered", "error", seq=page.say("render", seeds=[4, 5, 6]))
    assert done["t"] == "rendered" and done["variants"] == []
    assert page.document["settings"]["seed"] == 0


def test_a_render_can_be_stopped_while_it_records_and_while_it_edits(page: Page, said: Said) -> None:
    page.do("settings", steps=64, prompt="a sea")
    page.paint([(20, 20)])
    for what in ("record", "edit"):
        seq = page.say("render")
        while (told := page.until("progress", seq=seq))["what"] != what:
            pass
        page.say("cancel")
        page.until("cancelled", seq=seq)
        page.settled()
        assert not page.document["proposed"] and page.document["edited"] > 0
    assert told["steps"] == 48
    assert render(page, said) == ["open", "edit"]


def test_a_result_can_be_accepted_after_another_render_was_stopped(page: Page, said: Said) -> None:
    page.do("settings", steps=64, prompt="a sea")
    page.paint([(20, 20)])
    render(page, said)
    result = page.layers[protocol.RESULT].copy()
    seq = page.say("render")
    while page.until("progress", seq=seq)["what"] != "edit":
        pass
    page.say("cancel")
    page.until("cancelled", seq=seq)
    page.settled()
    page.do("accept")
    np.testing.assert_array_equal(page.layers[protocol.ORIGINAL], result)
    page.paint([(50, 36)])
    assert render(page, said) == ["open", "edit"]  # what was recorded is there still


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"prompt": "x" * 2001}, "the prompt must be words, at most 2000 characters"),
        ({"prompt": 3}, "the prompt must be words"),
        ({"steps": 65}, "the number of steps is 65"),
        ({"strength": 0}, "the strength is 0"),
        ({"seed": -1}, "the seed is -1"),
        ({"device": {"x": [1]}}, "the device is {'x': [1]}: it must be one of"),
        ({"model": "blue-marble-128"}, "blue-marble-128 does something else than flux2-tiny"),
        ({"model": "flux2-huge"}, "there is no model 'flux2-huge' here"),
    ],
)
def test_settings_that_it_cannot_take_are_said_in_a_sentence(page: Page, settings: dict[str, object], why: str) -> None:
    before = page.document["settings"]
    assert why in page.do("settings", **settings)["why"]
    assert page.document["settings"] == before


def test_a_document_comes_back_with_its_words_and_result(running: Running, page: Page, said: Said) -> None:
    page.do("settings", prompt="a red boat", seed=7)
    page.paint([(20, 20)])
    render(page, said)
    told = page.document["figures"], page.document["tiles"]
    canvas = page.layers[protocol.CANVAS].copy()
    status, saved, _ = ask(running, "GET", "/api/session")
    assert status == 200
    assert ask(running, "POST", "/api/session", saved)[0] == 200
    page.until("document")
    page.settled()
    assert page.document["settings"]["prompt"] == "a red boat" and page.document["settings"]["seed"] == 7
    np.testing.assert_array_equal(page.layers[protocol.CANVAS], canvas)
    assert told[0]["way"] == "tokens" and (page.document["figures"], page.document["tiles"]) == told


def test_a_session_of_the_command_line_is_opened(
    running: Running, page: Page, picture: np.ndarray, tmp_path: Path
) -> None:
    session = TokenSession(klein.load(MODEL), picture, prompt="two boats", steps=6, seed=3)
    session.note = {"model": MODEL, "quality": "balanced", "bits": None, "lora": []}
    session.save(tmp_path / "s.sige")
    assert ask(running, "POST", "/api/session", (tmp_path / "s.sige").read_bytes())[0] == 200
    page.until("document")
    page.settled()
    settings = page.document["settings"]
    assert (settings["prompt"], settings["steps"], settings["seed"]) == ("two boats", 6, 3)
    np.testing.assert_array_equal(page.layers[protocol.ORIGINAL], picture)


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that is downloaded of klein, empty, as links to what the hub calls blobs."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--black-forest-labs--FLUX.2-klein-4B" / "snapshots" / "0"
    (tmp_path / "blob").touch()
    names = ["transformer/model.safetensors", "vae/model.safetensors", "tokenizer/tokenizer.json"]
    for name in [*names, *(f"text_encoder/{shard}" for shard in SHARDS)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(tmp_path / "blob")
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def here(running: Running) -> dict[str, bool]:
    _, body, _ = ask(running, "GET", "/api/models")
    return {of["name"]: of["here"] for of in json.loads(body)["models"] if of["task"] == by_tokens.TASK}


def test_klein_is_offered_where_mflux_is(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(running).keys() == {klein.KLEIN, MODEL}
    monkeypatch.setattr(by_tokens.importlib.util, "find_spec", lambda name: None)
    assert here(running) == {}


@pytest.mark.parametrize(
    "missing",
    [
        "transformer/model.safetensors",
        "vae/model.safetensors",
        "tokenizer/tokenizer.json",
        f"text_encoder/{SHARDS[0]}",
        f"text_encoder/{SHARDS[1]}",
        "text_encoder/model.safetensors.index.json",
    ],
)
def test_klein_is_here_where_all_that_it_needs_is(running: Running, snapshot: Path, missing: str) -> None:
    assert here(running) == {klein.KLEIN: True, MODEL: True}
    (snapshot / missing).unlink()
    assert here(running) == {klein.KLEIN: False, MODEL: True}
    if not missing.endswith(".index.json"):
        (snapshot / missing).symlink_to(snapshot / "nothing")  # as of a blob that somebody has removed
        assert here(running) == {klein.KLEIN: False, MODEL: True}
    status, body, _ = ask(running, "POST", "/api/open?model=flux2-klein-4b", sent(np.zeros((16, 16, 3), np.uint8)))
    assert status == 422 and b"there is no model 'flux2-klein-4b' here" in body


def test_nothing_is_fetched_but_what_the_user_has_named(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str | None] = []
    monkeypatch.setattr(klein, "load", lambda name, bits, path: loaded.append(path))
    for own in (None, klein.KLEIN):
        by_tokens.TokenModel(klein.KLEIN, 4, own)
    assert loaded == [str(snapshot)] * 2  # a folder, for which nobody asks the hub
    (snapshot / "vae" / "model.safetensors").unlink()  # while the editor runs
    with pytest.raises(SigeError, match="the weights of flux2-klein-4b are not on this machine"):
        by_tokens.TokenModel(klein.KLEIN, 4, None)
    by_tokens.TokenModel(klein.KLEIN, 4, klein.KLEIN)
    assert loaded[2:] == [None]


def test_weights_are_quantised_where_memory_has_no_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(klein, "load", lambda name, bits, path: None)
    usual = by_tokens.usual(klein.KLEIN, "gpu")
    for limit, bits in ((20e9, 16), (10e9, 8), (7e9, 4)):
        monkeypatch.setattr("sige_mlx.tokens.plan.usable_memory", lambda limit=limit: int(limit))
        assert by_tokens.bits_for(usual, (512, 512)) == bits
        notes = by_tokens.TokenModel(klein.KLEIN, bits, klein.KLEIN).notes
        assert notes == () if bits == 16 else f"quantised to {bits} bits" in notes[0]
    monkeypatch.setattr("sige_mlx.tokens.plan.usable_memory", lambda: int(1e9))
    with pytest.raises(SigeError, match=r"1\.0 GB may be used; nothing smaller would fit either"):
        by_tokens.bits_for(usual, (512, 512))


def test_a_note_is_told_with_the_first_result_that_there_is(picture: np.ndarray) -> None:
    model = by_tokens.TokenModel(MODEL, 8, MODEL)
    assert len(model.notes) == 1
    editing = model.session(Source.of(picture), by_tokens.usual(MODEL, "cpu"))
    painted = picture.copy()
    painted[20:24, 20:24] = 0

    def stop(what: str, step: int, steps: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        editing.edit(Source.of(painted), "a boat", stop)
    notes = [editing.edit(Source.of(painted), "a boat", lambda *_: None).notes for _ in range(2)]
    assert notes == [model.notes, ()]


def test_a_model_stays_loaded_while_its_weights_are_the_same(
    picture: np.ndarray, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load = [], klein.load
    monkeypatch.setattr(klein, "load", lambda name, *of, **more: loaded.append(name) or load(name, *of, **more))
    with serving(MODEL) as running:
        for size in (48, 32):
            with editing(running, sent(picture[:size])) as page:
                page.paint([(20, 20)])
                for settings in ({"seed": 1}, {"strength": 0.5}, {"steps": 6}, {"device": "gpu"}):
                    page.do("settings", **settings)
                    render(page, said)
    assert loaded == [MODEL]
