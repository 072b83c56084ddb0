"""`python -m benchmarks.trained`: with a small random network, and what it finds with trained weights."""

from __future__ import annotations

import json
import math
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.trained import __main__ as command
from benchmarks.trained import sources
from benchmarks.trained.compare import Compared, Likeness, compare, compare_all, holding
from benchmarks.trained.edits import KINDS, SIZES, edited
from sige_mlx.editing import TranslationSession
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.metrics import psnr
from sige_mlx.pictures import open_image
from tests.tiny import TRANSLATION_CONFIG, original, translation_engine
from tests.trained import photographed, vintagify

SIZE = TRANSLATION_CONFIG.image_size


@pytest.fixture(scope="module")
def engine() -> Engine:
    return translation_engine(dense_from=math.inf, large="estimated")


def compared_by(engine: Engine, kind: str, percent: float, rounds: int) -> Compared:
    sessions = {how: TranslationSession(of, original(*SIZE)) for how, of in holding(engine).items()}
    return compare(TranslationSession(engine, original(*SIZE)), sessions, "picture", kind, percent, 0, rounds)


@pytest.fixture(scope="module")
def compared(engine: Engine) -> Compared:
    return compared_by(engine, "painted", 5, 3)


def test_an_edit_is_a_blob_of_the_wanted_size() -> None:
    before = original(64)
    changed = {p: (edited(before, "painted", p, 7) != before).any(-1) for p in SIZES}
    for percent, where in changed.items():
        assert where.mean() == pytest.approx(percent / 100, abs=1 / where.size)
    assert not (changed[1.2] & ~changed[15.0]).any()
    assert ((edited(before, "painted", 5, 8) != before).any(-1) != changed[5.0]).any()


def test_painting_is_flat_and_recolouring_keeps_the_texture() -> None:
    before = original(64)
    painted, recoloured = (edited(before, kind, 15, 0) for kind in ("painted", "recoloured"))
    where = (painted != before).any(-1)
    assert len(np.unique(painted[where], axis=0)) == 1
    assert np.abs(2.0 * recoloured[where] - before[where] - painted[where]).max() <= 2
    assert (recoloured[~where] == before[~where]).all()


def test_edits_that_are_none() -> None:
    with pytest.raises(SigeError, match=r"^there is no edit 'blurred': choose recoloured or painted$"):
        edited(original(), "blurred", 5, 0)
    with pytest.raises(SigeError, match="edit of 0 %"):
        edited(original(), "painted", 0, 0)


def test_likeness_is_psnr_in_the_mask_and_outside() -> None:
    a = original()
    b, mask = a.copy(), np.zeros(a.shape[:2], np.bool_)
    mask[:8] = True
    b[:4] += 10
    assert Likeness.of(a, b, mask) == Likeness(psnr(a, b, 255, mask), float("inf"))
    assert Likeness.of(a, b, ~np.zeros_like(mask)).outside is None


def test_the_difference_is_split_into_statistics_and_tiles(engine: Engine, compared: Compared) -> None:
    session = TranslationSession(engine, original(*SIZE))
    white = np.full(SIZE, 255, np.uint8)
    of_held = TranslationSession(holding(engine)["estimated"], original(*SIZE))
    assert (compared.held == of_held.edit(compared.edited, white).image).all()
    assert (compared.dense.image == session.dense(compared.edited).image).all()
    mask = compared.result.mask
    pictures = {"incremental": (0, 2), "statistics": (1, 2), "tiles": (0, 1)}
    images = compared.result.image, compared.held, compared.dense.image
    for name, (a, b) in pictures.items():
        assert getattr(compared, name).inside == psnr(images[a], images[b], 255, mask)
        assert getattr(compared, name).outside == psnr(images[a], images[b], 255, ~mask)
    assert len(compared.times) == 3 and min(compared.times) > 0
    assert compared.macs == session.edit(compared.edited).dense_macs / session.edit(compared.edited).macs > 1


def test_what_is_too_faint_to_be_edited_stays_out_everywhere(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_noise(*arguments: object) -> np.ndarray:
        picture = edited(*arguments)
        picture[0, 0] ^= 1
        return picture

    expected = compared_by(engine, "painted", 5, 1)
    monkeypatch.setattr("benchmarks.trained.compare.edited", with_noise)
    assert (compared_by(engine, "painted", 5, 1).held == expected.held).all()


def test_what_is_held_takes_the_statistics_of_its_edit(engine: Engine) -> None:
    assert engine.policy.statistics_of(0.05) == "estimated"
    small = compared_by(engine, "painted", 1.2, 1)
    assert engine.policy.statistics_of(small.result.edited) == "recorded"
    recorded = TranslationSession(holding(engine)["recorded"], original(*SIZE))
    within = np.where(small.result.mask[..., None], small.edited, original(*SIZE))
    assert (small.held == recorded.edit(within, np.full(SIZE, 255, np.uint8)).image).all()


def test_every_photograph_is_edited_in_every_way(engine: Engine) -> None:
    told = []
    photographs = {"one": original(*SIZE), "two": original(*SIZE)[::-1].copy()}
    found = list(compare_all(engine, photographs, 1, 0, lambda *progress: told.append(progress)))
    assert [(c.photograph, c.kind, c.percent) for c in found] == [
        (name, kind, percent) for name in photographs for kind in KINDS for percent in SIZES
    ]
    assert told == [("compare", done, 12) for done in range(13)]
    assert (found[0].result.mask != found[6].result.mask).any()  # places of their own


def invoke(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    """A small random network and a made-up picture in the places of the packages'."""
    monkeypatch.setattr(command, "PHOTOGRAPHS", ("picture",))
    monkeypatch.setattr(command, "photograph", lambda name, size: original(*SIZE))
    monkeypatch.setattr(command, "_engine", lambda size, threads: engine)


@pytest.mark.usefixtures("stand_ins")
def test_json_table_and_pictures_tell_the_same(tmp_path: Path, engine: Engine) -> None:
    folder = tmp_path / "new" / "pictures"
    edits = json.loads(invoke("--json", "--rounds", 1, "--pictures", folder).stdout)["edits"]
    names = [f"picture-{kind}-{percent:g}.png" for kind in KINDS for percent in SIZES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert open_image(folder / names[0]).width > 1000
    table = invoke("--rounds", 1).stdout.splitlines()
    assert len(table) == 1 + len(edits)
    for line, edit in zip(table[1:], edits, strict=True):
        assert line.startswith(f"picture, {edit['kind']} {edit['percent']:g} %")
        for part in ("edit", "statistics", "tiles"):
            assert f" {edit['psnr'][part]['inside']:.1f} " in line
        assert f" {edit['dense_macs'] / edit['macs']:.1f}x " in line
        assert edit["dense_macs"] == engine.macs


@pytest.mark.usefixtures("stand_ins")
def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = invoke("--pictures", tmp_path / "file")
    assert ended.exit_code == 1 and "cannot be made a folder" in ended.stderr and ended.stdout == ""


def test_without_the_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(sources, "files", absent)
    ended = invoke()
    assert ended.exit_code == 1 and ended.stdout == ""
    assert "scikit-image is not installed: pip install 'sige-mlx[trained]'" in ended.stderr


@pytest.mark.slow
def test_on_trained_weights() -> None:
    """Statistics cost more than tiles; estimates of them keep what is painted over a seventh of a picture."""
    vintagify()
    engine = command._engine(256, 0)
    photographs = {name: photographed(name, 256) for name in sources.PHOTOGRAPHS}
    found = {c.name: c for c in compare_all(engine, photographs, 1, 0, lambda *_: None)}
    soft, hard = (found[f"astronaut, {kind} 1.2 %"] for kind in ("recoloured", "painted"))
    for c in (soft, hard):
        assert c.tiles.inside is not None and c.statistics.inside is not None and c.incremental.inside is not None
        assert c.tiles.inside > 60 and c.macs > 1 / 0.6
        assert c.incremental.inside == pytest.approx(c.statistics.inside, abs=1)
    assert soft.incremental.inside > 45 and 25 < hard.incremental.inside < 35
    large = [found[f"{name}, painted 15 %"].incremental.inside or 0 for name in photographs]
    assert sorted(large)[1] > 30 and min(large) > 28
