"""`sige-mlx edit` and `session` with a model of tokens, tiny and random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.tokens import TokenEngine
from tests.cli.conftest import Run

pytest.importorskip("mflux")

MODEL = ("-m", "flux2-tiny")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(picture).save(tmp_path / "a.png")
    for name, (y, x) in {"m": (16, 24), "n": (32, 40)}.items():
        mask = np.zeros((48, 64), np.uint8)
        mask[y : y + 8, x : x + 8] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    return tmp_path


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_whole_story(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record, edit, commit, a second edit with another prompt, undo, and on from there."""
    session, masks = files / "s.sige", [picture(files / f"{name}.png") > 0 for name in "mn"]
    begin = ["edit", *MODEL, "--prompt", "a harbour", "--original", files / "a.png", "--mask", files / "m.png"]
    first = run(*begin, "--session", session, "--out", files / "c.png", "--commit", "--seed", 3, "--json").json
    assert first["macs"] < first["dense_macs"] / 2 and first["seed"] == 3
    assert first["bytes"]["recording"] >= first["bytes"]["planned_recording"] > 0
    original, one = picture(files / "a.png"), picture(files / "c.png")
    assert (one[~masks[0]] == original[~masks[0]]).all() and (one[masks[0]] != original[masks[0]]).any()
    go_on = ["edit", "--session", session, "--mask", files / "n.png", "--prompt", "two boats"]
    with monkeypatch.context() as patched:
        patched.setattr(TokenEngine, "record", lambda *_: pytest.fail("recorded again"))
        second = run(*go_on, "--out", files / "d.png", "--commit", "--json").json
    two = picture(files / "d.png")
    assert second["text_tokens"][0] == 2
    assert (two[~masks[1]] == one[~masks[1]]).all() and (two[masks[1]] != one[masks[1]]).any()
    shown = run("session", "show", session, "--json").json
    assert (shown["model"], shown["undo"], shown["redo"], shown["recorded"]) == ("flux2-tiny", 2, 0, 3)
    assert shown["settings"]["prompt"] == "two boats"
    undone = run("session", "undo", session, "--out", files / "u.png", "--json").json
    assert (undone["undo"], undone["redo"]) == (1, 1) and (picture(files / "u.png") == one).all()
    run("session", "undo", session, "--out", files / "u.png")
    assert (picture(files / "u.png") == original).all()
    assert "there is no commit to undo" in run("session", "undo", session).sentence
    run("session", "redo", session, "--out", files / "u.png")
    assert (picture(files / "u.png") == one).all()
    assert run("session", "drop", session).status == 0 and not session.exists()


def test_words_alone_begin_a_session(run: Run, files: Path) -> None:
    session = files / "w.sige"
    words = ["edit", *MODEL, "--prompt", "a sea", "--size", "64x48", "--session", session, "--out", files / "w.png"]
    assert "is written" in run(*words).out
    made = picture(files / "w.png")
    assert made.shape == (48, 64, 3)
    run("edit", "--session", session, "--mask", files / "m.png", "--out", files / "x.png")
    outside = picture(files / "m.png") == 0
    assert (picture(files / "x.png")[outside] == made[outside]).all()


def test_quantised_weights_are_those_of_the_session(run: Run, files: Path) -> None:
    session = files / "q.sige"
    edit = ["edit", *MODEL, "--bits", 4, "--original", files / "a.png", "--mask", files / "m.png", "--commit"]
    first = run(*edit, "--session", session, "--out", files / "c.png", "--json").json
    assert first["text_tokens"][0] == 1
    go_on = ["edit", "--session", session, "--mask", files / "n.png", "--out", files / "d.png"]
    assert "was begun with --bits 4: leave --bits away" in run(*go_on, "--bits", 8).sentence
    assert run(*go_on, "--json").json["text_tokens"][0] == 1
    run("session", "undo", session, "--out", files / "u.png")
    assert (picture(files / "u.png") == picture(files / "a.png")).all()


def test_an_edit_is_compared_and_reported(run: Run, files: Path) -> None:
    painted = picture(files / "a.png").copy()
    painted[16:24, 24:32] = (255, 0, 0)
    Image.fromarray(painted).save(files / "b.png")
    given = ["--original", files / "a.png", "--edited", files / "b.png", "--out", files / "c.png", "--compare"]
    edit = ["edit", *MODEL, "--prompt", "a boat", *given, "--report", files / "r.png"]
    told = run(*edit, "--json").json
    assert told["dense_seconds"] > 0 and 0 <= told["difference"] < 1 and told["report"] == str(files / "r.png")
    page = Image.open(files / "r.png")
    assert page.width > 3 * 384
    said = run(*edit).out
    assert "of 255 apart" in said and "c.png is written, and " in said
    without = [of for of in edit if of != "--compare"]
    assert "dense_seconds" not in run(*without, "--json").json and Image.open(files / "r.png").width < page.width


def test_an_edit_of_nothing_is_the_original(run: Run, files: Path) -> None:
    edit = ["edit", *MODEL, "--original", files / "a.png", "--edited", files / "a.png", "--out", files / "c.png"]
    said = run(*edit, "--compare", "--report", files / "r.png").out
    assert "Nothing was edited: the pictures do not differ. The result is the original." in said
    assert (picture(files / "c.png") == picture(files / "a.png")).all() and (files / "r.png").exists()


def test_an_edit_of_a_large_picture_is_reported_as_its_window_shows_it(run: Run, files: Path) -> None:
    large = np.random.default_rng(1).integers(0, 255, (10, 20, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    Image.fromarray(large).save(files / "a.png")
    mask = np.zeros((100, 200), np.uint8)
    mask[40:52, 90:110] = 255
    Image.fromarray(mask).save(files / "m.png")
    edit = ["edit", *MODEL, "--original", files / "a.png", "--mask", files / "m.png", "--out", files / "c.png"]
    told = run(*edit, "--compare", "--report", files / "r.png", "--json").json
    assert 0 <= told["difference"] < 1 and Image.open(files / "r.png").width > 3 * 384


def test_one_edit_with_a_reference(run: Run, files: Path) -> None:
    edit = ["edit", *MODEL, "--prompt", "a boat", "--original", files / "a.png", "--mask", files / "m.png"]
    run(*edit, "--out", files / "c.png")
    run(*edit, "--reference", files / "n.png", "--record", "int8", "--out", files / "d.png")
    assert (picture(files / "c.png") != picture(files / "d.png")).any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--original", "a.png"], "there is no edit: give --mask or --edited, which say what of --original"),
        (["--mask", "m.png"], "an edit changes a picture: give --original, or the --session"),
        ([], "there is no edit: give --original with --mask or --edited, or --prompt"),
        (["--original", "a.png", "--mask", "m.png", "--sampler", "ddim"], "--sampler is not for flux2-tiny"),
        (["--original", "a.png", "--mask", "m.png", "--size", "64x48"], "--size is that of a new picture"),
        (["--prompt", "a sea", "--size", "large"], "--size is 'large': it must be WIDTHxHEIGHT"),
        (["--original", "a.png", "--mask", "m.png", "--record", "int4"], "a record in 'int4' is not known"),
        (["--original", "a.png", "--mask", "m.png", "--bits", "5"], "weights of 5 bits are not known"),
        (["--original", "a.png", "--mask", "m.png", "--lora", "m.png"], "which no LoRA is for"),
        (["--original", "a.png", "--mask", "m.png", "--strength", "0"], "the strength is 0"),
        (["--prompt", "a sea", "--compare"], "--compare is for an edit: a picture made of words is computed densely"),
        (["--prompt", "a sea", "--report", "r.png"], "--report is for an edit"),
        (["--original", "a.png", "--mask", "m.png", "--report", "m.png"], "m.png"),
        (["--original", "a.png", "--mask", "m.png", "--commit"], "--commit makes a result the original of a session"),
    ],
)
def test_what_cannot_be_edited_is_said_in_a_sentence(run: Run, files: Path, given: list[str], said: str) -> None:
    at = [files / word if word.endswith(".png") else word for word in given]
    assert said in run("edit", *MODEL, *at, "--out", files / "c.png").sentence
    assert not (files / "c.png").exists()


def test_options_of_tokens_are_not_for_others(run: Run, files: Path) -> None:
    given = ["--original", files / "a.png", "--edited", files / "a.png", "--out", files / "c.png"]
    assert "--prompt is for models that edit by tokens" in run("edit", *given, "--prompt", "a sea").sentence


def test_a_session_keeps_to_what_it_was_begun_with(run: Run, files: Path) -> None:
    session = files / "s.sige"
    edit = ["edit", *MODEL, "--original", files / "a.png", "--mask", files / "m.png", "--out", files / "c.png"]
    run(*edit, "--session", session)
    go_on = ["edit", "--session", session, "--mask", files / "m.png", "--out", files / "c.png"]
    assert "was begun with --seed 0: leave --seed away" in run(*go_on, "--seed", 3).sentence
    assert "was begun without --record: leave --record away" in run(*go_on, "--record", "int8").sentence
    assert "m.png is not the original of" in run(*go_on, "--original", files / "m.png").sentence
    assert "was begun with --tolerance 1.275: leave --tolerance away" in run(*go_on, "--tolerance", 9).sentence
    assert "is begun already: leave --reference away" in run(*go_on, "--reference", files / "m.png").sentence
    assert "give --mask or --edited" in run("edit", "--session", session, "--out", files / "c.png").sentence


def test_what_does_not_fit_is_said_before_anything_is_loaded(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sige_mlx.tokens import klein, plan

    monkeypatch.setattr(klein, "load", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr(plan, "usable_memory", lambda: int(6e9))
    edit = ["edit", "-m", "flux2-klein-4b", "--original", files / "a.png", "--mask", files / "m.png"]
    said = run(*edit, "--prompt", "a sea", "--out", files / "c.png").sentence
    assert "6.0 GB may be used; what would fit: 64×48 pixels, q8 weights, a record in bfloat16 (" in said


def test_the_doctor_edits_three_times(run: Run) -> None:
    report = run("doctor", *MODEL, "--json").json
    assert report["passed"] and len(report["edits"]) == 3
    for edit in report["edits"]:
        assert edit["outside_kept"] and edit["snr"] > 0 and edit["macs"] < edit["dense_macs"]
        assert edit["seconds"] > 0 and edit["seam"] > 0
    assert report["recording"] > 0 and report["peak"] <= report["planned"]
    assert "SNR in the mask" in run("doctor", *MODEL).out
    assert "--bits goes with --model" in run("doctor", "--bits", 4).sentence


def test_info_tells_what_a_recording_will_take(run: Run, files: Path) -> None:
    from sige_mlx.tokens import klein
    from sige_mlx.tokens.session import TokenSession

    for record in ("float32", "int8"):
        told = run("info", *MODEL, "--original", files / "a.png", "--record", record, "--json").json
        session = TokenSession(klein.load(klein.TINY), files / "a.png", prompt="a sea", precision=record)  # type: ignore[arg-type]
        session.record()
        assert told["bytes"]["recording"] == pytest.approx(session.recording_nbytes, rel=0.02)
        assert told["bytes"]["peak"] == pytest.approx(session.plan().peak, rel=0.02)
    masked = run("info", *MODEL, "--mask", files / "m.png", "--json").json
    edit = ["edit", *MODEL, "--original", files / "a.png", "--mask", files / "m.png", "--out", files / "c.png"]
    made = run(*edit, "--json").json
    assert masked["macs"]["edit"] == made["macs"] and masked["macs"]["dense"] == made["dense_macs"]
    klein_told = run("info", "-m", "flux2-klein-4b", "--steps", 4, "--json").json
    assert klein_told["bytes"]["recording"] == pytest.approx(5.66e9 * 3 / 4, rel=0.01)
    assert "densely, which recording takes, too" in run("info", "-m", "flux2-klein-4b", "--edit", 1).out
    assert "--layers is not for flux2-tiny" in run("info", *MODEL, "--layers").sentence
    assert "--edit is 0: a share" in run("info", *MODEL, "--edit", 0).sentence


def test_they_are_among_the_models(run: Run) -> None:
    assert run("models", "--json").json["by_tokens"] == ["flux2-klein-4b", "flux2-tiny"]
    assert "Edited by tokens: flux2-klein-4b" in run("models").out
