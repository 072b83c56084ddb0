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


def test_memory_for_too_few_steps(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "physical_memory", lambda: 1 << 20)
    monkeypatch.setattr(recordings, "room", lambda folder: 0)
    ended = edit(steps=50, compare=True)
    assert "50 steps of this model keep" in ended.sentence and "take at most" in ended.sentence
    assert names(tmp_path) == {"pictures"}
