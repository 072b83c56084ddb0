"""What a machine may lack: room on its disk, rights, memory; and weights that are no numbers. One sentence, status 1,
and nothing half written."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from sige_mlx.editing import EditSession
from sige_mlx.engine import recordings
from tests.cli.conftest import Edit, Run, names
from tests.converters.networks import ddpm
from tests.converters.writer import save
from tests.privileges import as_an_owner
from tests.tiny import LABEL_CONFIG, LABEL_SIZE, TRANSLATION_CONFIG, Config, write_tiny_model


@contextmanager
def room(nbytes: int) -> Iterator[None]:
    """Files may have so many bytes: every write beyond fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp", ".jpg", ".bmp", ".ppm", ".tga"])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_full_disk_under_a_result(edit: Edit, tmp_path: Path, suffix: str, before: bytes | None) -> None:
    out = tmp_path / f"c{suffix}"
    if before:
        out.write_bytes(before)
    with room(100):
        ended = edit(out=out, steps=1)
    assert ended.sentence.startswith(f"sige-mlx: {out} cannot be written: ")
    assert names(tmp_path) == {"pictures", *([out.name] if before else [])}
    assert not before or out.read_bytes() == before


def test_a_full_disk_under_a_report(edit: Edit, tmp_path: Path) -> None:
    """The picture is small enough, and is kept."""
    with room(8000):
        ended = edit(report=tmp_path / "r.png", steps=1)
    assert "c.png is written, but not the report: " in ended.sentence
    assert names(tmp_path) == {"pictures", "c.png"}
    with Image.open(tmp_path / "c.png") as image:
        image.load()


@pytest.mark.parametrize("nbytes", [100, 10_000])
def test_a_full_disk_under_a_conversion(run: Run, tmp_path: Path, nbytes: int) -> None:
    source = save(tmp_path / "a.pth", ddpm(), "zip")
    with room(nbytes):
        ended = run("convert", source, "--out", tmp_path / "m")
    assert "m: cannot be written: " in ended.sentence
    assert names(tmp_path) == {"a.pth"}


def test_a_cache_that_is_read_only(run: Run, edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what writes there needs it."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555)
    monkeypatch.setenv("SIGE_MLX_CACHE", str(cache))
    source = save(tmp_path / "ckpt.pth", ddpm(), "zip")
    said = as_an_owner(lambda: run("convert", source).sentence)
    assert "cannot be written: Permission denied" in said and str(cache) in said
    assert not names(cache)
    assert as_an_owner(lambda: run("models").status) == 0
    assert as_an_owner(lambda: edit(steps=1).status) == 0


def write_maps(folder: Path) -> list[object]:
    before = np.full(LABEL_SIZE, 7, np.uint8)
    after = before.copy()
    after[8:16, 8:16] = 11
    Image.fromarray(before).save(folder / "x.png")
    Image.fromarray(after).save(folder / "y.png")
    return ["--labels", folder / "x.png", "--edited-labels", folder / "y.png"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("config", [None, LABEL_CONFIG, TRANSLATION_CONFIG], ids=["denoising", "labels", "translation"])
def test_weights_that_are_no_numbers(
    run: Run, pictures: Path, tmp_path: Path, config: Config | None, value: float
) -> None:
    model = write_tiny_model(tmp_path / "m", config) if config else write_tiny_model(tmp_path / "m")
    weights = load_file(model / "model.safetensors")
    for name in weights:
        if name.endswith("weight") and weights[name].ndim == 4:
            weights[name][...] = value
    save_file(weights, model / "model.safetensors")
    given = write_maps(pictures) if config is LABEL_CONFIG else ["--original", "a.png", "--edited", "b.png"]
    given = [pictures / name if name in ("a.png", "b.png") else name for name in given]
    ended = run("edit", "-m", model, *given, "--out", tmp_path / "c.png")
    assert "values that are not finite" in ended.sentence
    assert not (tmp_path / "c.png").exists()


@pytest.fixture
def little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not one step fits in; the cache, which is given, is where they go."""
    monkeypatch.setattr(recordings, "physical_memory", lambda: 1 << 16)
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_memory_has_no_room_for_is_on_the_disk(edit: Edit, tmp_path: Path, little_memory: Path) -> None:
    assert edit(steps=5, session=tmp_path / "s").status == 0
    assert edit(steps=5, session=tmp_path / "s").status == 0
    assert not names(little_memory)


def test_neither_memory_nor_disk(
    edit: Edit, tmp_path: Path, little_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "room", lambda _: 100_000)
    for recorded in {"session": tmp_path / "s"}, {"compare": True}:
        said = edit(steps=50, **recorded).sentence
        assert "50 steps of this model keep" in said and "take at most" in said
        assert names(tmp_path) == {"pictures"}
    assert edit(steps=5).status == 0  # one alone records nothing


def test_a_disk_that_is_full_while_recording(edit: Edit, tmp_path: Path, little_memory: Path) -> None:
    with room(20_000):
        said = edit(session=tmp_path / "s").sentence
    assert f"MiB cannot be put into {little_memory}: " in said and "SIGE_MLX_CACHE may name another" in said
    assert names(tmp_path) == {"pictures", "cache"} and not names(little_memory)


def test_a_cache_where_no_recording_can_be_put(edit: Edit, tmp_path: Path, little_memory: Path) -> None:
    little_memory.mkdir(mode=0o555)
    said = as_an_owner(lambda: edit(session=tmp_path / "s").sentence)
    assert f"cannot be put into {little_memory}: Permission denied" in said
    assert names(tmp_path) == {"pictures", "cache"}


def test_a_session_that_is_read_only(edit: Edit, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed for what could not be kept."""
    folder = tmp_path / "kept"
    folder.mkdir()
    edit(session=folder / "s", commit=True)
    folder.chmod(0o555)
    monkeypatch.setattr(EditSession, "open", lambda *_: pytest.fail("opened"))
    for command in (lambda: edit(session=folder / "s", commit=True), lambda: run("session", "undo", folder / "s")):
        assert f"{folder} is read-only" in as_an_owner(lambda command=command: command().sentence)
    assert "cannot be removed: Permission denied" in as_an_owner(lambda: run("session", "drop", folder / "s").sentence)
    assert as_an_owner(lambda: run("session", "show", folder / "s").status) == 0
    folder.chmod(0o755)


def test_a_full_disk_under_a_session(edit: Edit, run: Run, tmp_path: Path) -> None:
    """The result is there, and so is the session of before."""
    out, session = tmp_path / "c.png", tmp_path / "s"
    with room(20_000):
        said = edit(session=session).sentence
    assert f"{out} is written, but not the session: {session} cannot be written: " in said
    assert names(tmp_path) == {"pictures", "c.png"}
    edit(session=session)
    before = session.read_bytes()
    with room(20_000):
        assert "is written, but not the session: " in edit(session=session, commit=True).sentence
    assert session.read_bytes() == before
    edit(session=session, commit=True)
    before = session.read_bytes()
    with room(20_000):
        assert f"{session} cannot be written: " in run("session", "undo", session).sentence
        said = run("session", "undo", session, "--out", tmp_path / "u.png").sentence
        assert f"{tmp_path / 'u.png'} is written, but not the session: {session} cannot be written: " in said
    (tmp_path / "u.png").unlink()
    assert session.read_bytes() == before and names(tmp_path) == {"pictures", "c.png", "s"}
