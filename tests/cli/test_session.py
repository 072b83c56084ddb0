"""`sige-mlx edit --session` and `sige-mlx session`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine
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
    assert "is not the original of" in edit(session=file).sentence
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
    assert "this session edits label maps" in run("edit", "--edited", tmp_path / "a.png", *common).sentence


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"steps": 5}, "was begun with 3 for --steps: leave --steps away, or begin another session"),
        ({"seed": 5}, "was begun with 0 for --seed"),
        ({"threshold": 16}, "was begun without for --threshold"),
        ({"quality": "fast"}, "was begun with balanced for --quality: leave --quality away, or begin another session"),
        ({"fill": True}, "was begun without for --fill"),
        ({"device": "reference"}, "was begun with cpu for --device"),
        ({"model": "blue-marble-128"}, "for --model"),
        ({"tolerance": 9}, "for --tolerance"),
        ({"edited": None}, "go together"),
        ({"session": "{pictures}/a.png"}, "is what the result is made from"),
        ({"session": "{pictures}/text"}, "cannot be read as a session"),
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
    assert words in edit(**{"session": file, **given}).sentence
    assert file.read_bytes() == before


def test_other_deeds_and_files(run: Run, file: Path, tmp_path: Path) -> None:
    assert "a session cannot be 'burn'" in run("session", "burn", file).sentence
    assert "cannot be read as a session" in run("session", "drop", file).sentence
    EditSession(tiny_engine(), original(), steps=1).save(file)
    assert "does not say whose model it is" in run("session", "show", file).sentence


def test_a_session_keeps_its_quality(edit: Edit, file: Path, pictures: Path, tmp_path: Path) -> None:
    assert edit(session=file, quality="exact", json=True).json["way"] == "dense pass"
    again = edit(session=file, original=None, out=tmp_path / "d.png", json=True).json
    assert again["way"] == "dense pass"
    assert np.array_equal(picture(tmp_path / "c.png"), picture(tmp_path / "d.png"))
    assert "begun with exact for --quality" in edit(session=file, quality="balanced").sentence


def test_fills_have_sessions_too(edit: Edit, file: Path, pictures: Path, tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:16, 8:20] = 255
    Image.fromarray(mask).save(pictures / "m.png")
    assert edit(session=file, fill=True, edited=None, mask=pictures / "m.png", commit=True).status == 0
    on = edit(session=file, original=None, edited=None, mask=pictures / "m.png", out=tmp_path / "d.png", fill=True)
    assert on.status == 0
    assert np.array_equal(picture(tmp_path / "c.png"), picture(tmp_path / "d.png"))  # of one seed
    other = {"original": None, "edited": None, "model": None, "steps": None, "edited-labels": pictures / "m.png"}
    assert "this session fills a part of a picture: give --edited or --mask" in edit(session=file, **other).sentence
