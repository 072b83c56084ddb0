"""`sige-mlx edit --session` and `sige-mlx session`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession, turns
from sige_mlx.editing.container import Container, write
from sige_mlx.editing.destination import write_whole
from sige_mlx.editing.saved import PURPOSE
from sige_mlx.engine import Engine
from sige_mlx.engine.native.executor import NativeExecutor
from tests.cli.conftest import Edit, Run
from tests.cli.test_edit_labels import label_model
from tests.tiny import SIZE, edited_labels, labels, original, painted, tiny_engine

__all__ = ["label_model"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.sige"


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_second_call_records_nothing(
    edit: Edit, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = EditSession(tiny_engine(), original(), steps=3).edit(painted()).image
    first = edit(session=file, json=True).json
    assert first["session"] == str(file) and first["way"] == "tiles"
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    before = file.stat().st_mtime_ns
    second = edit(session=file, out=tmp_path / "d.png", json=True).json
    assert second["macs"] == first["macs"] < first["dense_macs"]
    assert file.stat().st_mtime_ns == before
    for name in "c.png", "d.png":
        assert np.array_equal(picture(tmp_path / name), expected)


def test_what_is_committed_is_edited_next_and_can_be_undone(
    edit: Edit, run: Run, file: Path, pictures: Path, tmp_path: Path
) -> None:
    edit(session=file, commit=True)
    committed = picture(tmp_path / "c.png")
    said = f"a.png is not the original of {file}, in which a commit has made it another: leave --original away to edit"
    assert said in edit(session=file).sentence
    second = committed.copy()
    second[20:24, 4:8] = 0
    Image.fromarray(second).save(pictures / "b.png")
    assert edit(session=file, original=None, out=tmp_path / "d.png", json=True).json["edited"] < 0.1
    result = picture(tmp_path / "d.png")
    untouched = np.ones(committed.shape[:2], np.bool_)
    untouched[19:25, 3:9] = False
    assert np.array_equal(result[untouched], committed[untouched])
    shown = run("session", "show", file, "--json").json
    assert (shown["undo"], shown["redo"], shown["recorded"]) == (1, 0, 3)
    undone = run("session", "undo", file, "--out", tmp_path / "u.png", "--json").json
    assert (undone["undo"], undone["redo"]) == (0, 1)
    assert np.array_equal(picture(tmp_path / "u.png"), original())
    assert "there is no commit to undo" in run("session", "undo", file).sentence
    assert run("session", "redo", file, "--out", tmp_path / "u.png").status == 0
    assert np.array_equal(picture(tmp_path / "u.png"), committed)
    assert "size" in run("session", "show", file).out
    assert run("session", "drop", file).status == 0 and not file.exists()


def test_label_maps_have_sessions_too(run: Run, tmp_path: Path, file: Path, label_model: Path) -> None:
    for name, ids in (("a", labels()), ("b", edited_labels())):
        Image.fromarray(ids).save(tmp_path / f"{name}.png")
    given = ["--labels", tmp_path / "a.png", "--edited-labels", tmp_path / "b.png"]
    common = ["--session", file, "--out", tmp_path / "c.png", "--commit"]
    assert run("edit", "-m", label_model, *given, *common).status == 0
    assert "is not the label map of" in run("edit", *given, *common).sentence
    assert run("edit", "--edited-labels", tmp_path / "a.png", *common, "--json").json["edited"] > 0
    assert run("session", "undo", file, "--out", tmp_path / "u.png").status == 0
    changed = ["--edited-labels", tmp_path / "b.png"]
    for more, words in (
        (["--edited", tmp_path / "a.png"], "this session edits label maps: give --edited-labels"),
        ([*changed, "--mask", tmp_path / "a.png"], "this session edits label maps: leave --mask away"),
        ([*changed, "--fill"], "s.sige was begun without --fill: leave --fill away"),
        ([*changed, "--steps", 3], "s.sige was begun without --steps: leave --steps away"),
    ):
        assert words in run("edit", *more, *common).sentence


def test_undoing_tells_the_size_of_the_new_file(run: Run, tmp_path: Path, file: Path, label_model: Path) -> None:
    """Which is larger where the original had not been recorded, of which the picture is asked for."""
    for name, ids in (("a", labels()), ("b", edited_labels())):
        Image.fromarray(ids).save(tmp_path / f"{name}.png")
    given = ["--labels", tmp_path / "a.png", "--edited-labels", tmp_path / "b.png", "--session", file, "--commit"]
    assert run("edit", "-m", label_model, *given, "--out", tmp_path / "c.png").status == 0
    held = Container(file, PURPOSE)
    arrays = {name: held.array(name).copy() for name in held._header if not name.startswith("window.")}
    write(file, PURPOSE, arrays, {**held.told, "windows": []})
    before = run("session", "show", file, "--json").json
    undone = run("session", "undo", file, "--out", tmp_path / "u.png", "--json").json
    assert undone == {**run("session", "show", file, "--json").json, "deed": "undo"}
    assert undone["bytes"] > before["bytes"] and (before["recorded"], undone["recorded"]) == (0, 1)


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"steps": 5}, "s.sige was begun with --steps 3: leave --steps away, or begin another session"),
        ({"seed": 5}, "was begun with --seed 0:"),
        ({"threshold": 16}, "was begun without --threshold:"),
        ({"quality": "fast"}, "was begun with --quality balanced: leave --quality away, or begin another session"),
        ({"fill": True}, "was begun without --fill:"),
        ({"device": "reference"}, "was begun with --device cpu:"),
        ({"model": "blue-marble-128"}, "was begun with --model /"),
        ({"tolerance": 9}, "was begun with --tolerance 1.275:"),
        ({"edited": None}, "s.sige: this session edits a picture: give --edited"),
        ({"edited-labels": "{pictures}/a.png"}, "this session edits a picture: leave --edited-labels away"),
        (
            {"original": "{pictures}/b.png"},
            "b.png is not the original of {session}: leave --original away to edit what",
        ),
        (
            {"original": None, "session": "typo.sige"},
            "typo.sige has no session in it yet, and --original and --edited go together: an edit is where",
        ),
        (
            {"original": None, "edited": None, "mask": "{pictures}/b.png", "session": "typo.sige", "model": None},
            "typo.sige has no session in it yet, and there is no edit: give --original and --edited",
        ),
        ({"session": "{pictures}/a.png"}, "is what the result is made from"),
        ({"session": "{pictures}/text"}, "as a session: it is a file of something else, or damaged"),
        ({"session": "{pictures}/r.png", "report": "{pictures}/r.png"}, "--report and --session are both"),
        ({"session": "{pictures}/r.png", "out": "{pictures}/r.png"}, "--out and --session are both"),
        ({"session": "{pictures}"}, "is a folder"),
        ({"session": None, "commit": True}, "--commit makes a result the original of a session"),
    ],
)
def test_what_does_not_fit_is_told(
    edit: Edit, file: Path, pictures: Path, replaced: dict[str, object], words: str
) -> None:
    edit(session=file)
    (pictures / "text").write_text("no session")
    given = {k: v.format(pictures=pictures) if isinstance(v, str) else v for k, v in replaced.items()}
    before = file.read_bytes()
    assert words.replace("{session}", str(file)) in edit(**{"session": file, **given}).sentence
    assert not Path("typo.sige").exists()
    assert file.read_bytes() == before


def test_of_two_that_commit_at_once_neither_loses_anything(
    edit: Edit, run: Run, file: Path, pictures: Path, tmp_path: Path
) -> None:
    """On a busy machine the second may wait in vain, and then says so and changes nothing."""
    edit(session=file)
    command = [sys.executable, "-m", "sige_mlx", "edit", "--session", str(file), "--commit", "--edited"]
    processes = []
    for number in range(2):
        second = painted()
        second[20:24, 4 + 8 * number : 8 + 8 * number] = 0
        Image.fromarray(second).save(pictures / f"{number}.png")
        given = [str(pictures / f"{number}.png"), "--out", str(tmp_path / f"{number}.png")]
        processes.append(subprocess.Popen([*command, *given]))
    statuses = [process.wait() for process in processes]
    assert statuses.count(0) >= 1 and set(statuses) <= {0, 1}
    assert run("session", "show", file, "--json").json["undo"] == statuses.count(0)


def test_who_waits_in_vain_is_told(
    edit: Edit, run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT", 0.1)
    words = f"{file} is held by another process, which edits it: try again when that has ended"
    with turns.turn(file):
        assert words in edit(session=file).sentence
        assert f"{file} has no session in it yet" in run("session", "show", file).sentence
    assert not file.exists()
    edit(session=file)
    with turns.turn(file):
        assert words in edit(session=file, commit=True).sentence
        for deed in "undo", "redo", "drop":
            assert words in run("session", deed, file).sentence
        assert run("session", "show", file).status == 0
        assert edit(session=file, out=tmp_path / "d.png").status == 0  # it writes nothing there
    assert run("session", "drop", file).status == 0


def test_a_device_whose_recordings_cannot_be_stored(
    edit: Edit, run: Run, file: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a GPU's are: every call says what that means, in one sentence, and commits can be undone."""
    monkeypatch.setattr(NativeExecutor, "keeps", "")
    words = f"sige-mlx: {file} keeps no recordings, which device 'cpu' cannot store: what is edited is recorded anew"
    first = edit(session=file)
    assert first.err.startswith(words) and first.err.count("\n") == 1 and first.status == 0
    written = file.stat().st_mtime_ns
    assert edit(session=file).err == first.err and file.stat().st_mtime_ns == written
    assert edit(session=file, commit=True).err == first.err
    assert run("session", "undo", file, "--out", tmp_path / "u.png").err == first.err
    assert np.array_equal(picture(tmp_path / "u.png"), original())
    assert run("session", "show", file, "--json").json["recorded"] == 0


def test_a_damaged_step_is_recorded_anew_and_written(edit: Edit, file: Path, tmp_path: Path) -> None:
    edit(session=file)
    expected, whole = picture(tmp_path / "c.png"), bytearray(file.read_bytes())
    first = Container(file, PURPOSE)._header["window.0.step.0.0"]["data_offsets"][0]
    whole[8 + int.from_bytes(whole[:8], "little") + first] ^= 1
    file.write_bytes(whole)
    again = edit(session=file)
    assert again.status == 0 and again.err.startswith(f"sige-mlx: {file} is damaged: window.0.step.")
    assert again.err.count("\n") == 1 and again.err.endswith("is recorded anew\n")
    assert edit(session=file).err == ""
    assert np.array_equal(picture(tmp_path / "c.png"), expected)


def test_steps_that_were_missing_are_added(
    edit: Edit, file: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that was begun without an edit has nothing recorded; what another has written meanwhile is kept."""
    assert edit(session=file, edited=pictures / "a.png").status == 0
    written = file.read_bytes()
    opened = EditSession.open

    def replaced(*given: object, **options: object) -> EditSession:
        session = opened(*given, **options)  # type: ignore[arg-type]
        write_whole(file, lambda into: into.write(written))
        return session

    with monkeypatch.context() as patched:
        patched.setattr(EditSession, "open", replaced)
        assert edit(session=file).status == 0
    assert file.read_bytes() == written
    assert edit(session=file).status == 0 and file.stat().st_size > len(written)


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"model": "gone"}, "the model of {file} cannot be loaded: 'gone' is neither a model's name"),
        ({"device": "abacus"}, "the model of {file} cannot be loaded: device 'abacus' is none"),
        ({"threshold": "much"}, "the model of {file} cannot be loaded: the threshold of planes is 'much'"),
    ],
)
def test_what_it_takes_to_open_it_is_not_there(
    edit: Edit, run: Run, file: Path, replaced: dict[str, Any], words: str
) -> None:
    edit(session=file)
    held = Container(file, PURPOSE)
    arrays = {name: held.array(name).copy() for name in held._header}
    write(file, PURPOSE, arrays, {**held.told, "note": {**held.told["note"], **replaced}})
    assert words.format(file=file) in run("session", "undo", file).sentence


def test_what_makes_no_sense_is_not_shown(edit: Edit, run: Run, file: Path) -> None:
    edit(session=file)
    held = Container(file, PURPOSE)
    arrays = {name: held.array(name).copy() for name in held._header}
    write(file, PURPOSE, arrays, {**held.told, "windows": 3})
    assert f"{file} is damaged" in run("session", "show", file).sentence
    assert run("session", "drop", file).status == 0


def test_other_deeds_and_files(run: Run, file: Path, tmp_path: Path) -> None:
    assert "a session cannot be 'burn'" in run("session", "burn", file).sentence
    assert "cannot be read as a session" in run("session", "drop", file).sentence
    EditSession(tiny_engine(), original(), steps=1).save(file)
    assert "does not say whose model it is" in run("session", "show", file).sentence


def test_what_is_left_of_a_session_can_be_dropped(edit: Edit, run: Run, file: Path) -> None:
    """An empty file, as a killed call leaves it, or the beginning of one; but no file of something else."""
    edit(session=file)
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for left in b"", whole[:-1], whole[:header]:
        file.write_bytes(left)
        assert run("session", "show", file).sentence
        assert run("session", "drop", file, "--json").json == {"file": str(file), "deed": "drop"}
        assert not file.exists()
    for other in b"no session", whole[: header // 2], whole.replace(b"a session", b"a picture"):
        file.write_bytes(other)
        assert "cannot be read as a session" in run("session", "drop", file).sentence
        assert file.read_bytes() == other


def test_what_is_shown(edit: Edit, run: Run, file: Path) -> None:
    """Of the file as it is: after `undo`, of the new one."""
    edit(session=file, quality="fast", threshold=8, commit=True)
    shown = run("session", "show", file, "--json").json
    assert (shown["quality"], shown["threshold"]) == ("fast", 8)
    assert "fast" in run("session", "show", file).out
    edit(session=file, original=None, commit=True)
    for deed in "undo", "redo":
        told = run("session", deed, file, "--json").json
        assert told == {**run("session", "show", file, "--json").json, "deed": deed}
    dropped = run("session", "drop", file, "--json").json
    assert dropped == {**told, "deed": "drop"}


def test_a_session_keeps_its_quality(edit: Edit, file: Path, pictures: Path, tmp_path: Path) -> None:
    assert edit(session=file, quality="exact", json=True).json["way"] == "dense pass"
    said = edit(session=file).out
    assert "at this --quality and --threshold, an edit is the dense pass." in said and "cheapest" not in said
    again = edit(session=file, original=None, out=tmp_path / "d.png", json=True).json
    assert again["way"] == "dense pass"
    assert np.array_equal(picture(tmp_path / "c.png"), picture(tmp_path / "d.png"))
    assert "begun with --quality exact:" in edit(session=file, quality="balanced").sentence


def test_a_session_keeps_its_tolerance(edit: Edit, file: Path, tmp_path: Path) -> None:
    assert edit(session=file, tolerance=9).status == 0
    assert edit(session=file, tolerance=9, out=tmp_path / "d.png").status == 0
    assert "was begun with --tolerance 9:" in edit(session=file, tolerance=8).sentence


def test_fills_have_sessions_too(edit: Edit, file: Path, pictures: Path, tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:16, 8:20] = 255
    Image.fromarray(mask).save(pictures / "m.png")
    assert edit(session=file, fill=True, edited=None, mask=pictures / "m.png", commit=True).status == 0
    on = edit(session=file, original=None, edited=None, mask=pictures / "m.png", out=tmp_path / "d.png", fill=True)
    assert on.status == 0
    assert np.array_equal(picture(tmp_path / "c.png"), picture(tmp_path / "d.png"))  # of one seed
    unsaid = {"edited": None, "mask": pictures / "m.png", "out": tmp_path / "e.png"}  # that it fills
    assert edit(session=file, original=None, **unsaid).status == 0
    assert np.array_equal(picture(tmp_path / "c.png"), picture(tmp_path / "e.png"))
    assert "in which a commit has made it another" in edit(session=file, **unsaid).sentence
    other = {"original": None, "edited": None, "model": None, "steps": None, "edited-labels": pictures / "m.png"}
    assert "this session fills a part of a picture: give --edited or --mask" in edit(session=file, **other).sentence
