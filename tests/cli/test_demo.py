import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing.destination import own_or_new
from sige_mlx.models.spade import SPADEConfig
from tests.cli.conftest import Run
from tests.tiny import CONFIG, write_tiny_model


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small random network in the place of the embedded one."""
    config = dataclasses.replace(CONFIG, image_size=128, attn_resolutions=())
    stand_in = zoo.load(write_tiny_model(tmp_path / "model", config, tiles_from=64))
    monkeypatch.setattr(zoo, "load", lambda name: stand_in)


@pytest.mark.usefixtures("untrained")
def test_the_demo_writes_its_picture_and_prints_its_table(run: Run, tmp_path: Path) -> None:
    ended = run("demo", "--out", tmp_path / "demo.png", "--steps", 2)
    assert ended.status == 0
    for words in ("edited pixels", "tiles at 128 × 128", "seconds, 2 steps", "less arithmetic", "demo.png"):
        assert words in ended.out
    assert Image.open(tmp_path / "demo.png").width > 1000


@pytest.mark.usefixtures("untrained")
def test_the_demo_in_json(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = run("demo", "--steps", 1, "--json").json
    assert numbers["out"] == "demo.png" and Path("demo.png").is_file()
    assert 0.005 < numbers["edited"] < 0.15  # an island, not a continent
    assert numbers["dense_seconds"] > 0


def test_the_demo_of_label_maps(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo.png").write_text("of the other demo")
    classes, palette = zoo.load(zoo.LABELS).classes, zoo.load(zoo.LABELS).palette
    config = SPADEConfig(12, True, num_upsampling_layers="normal", crop_size=256, aspect_ratio=1.0, ngf=2, nhidden=4)
    stand_in = dataclasses.replace(
        zoo.load(write_tiny_model(tmp_path / "model", config, tiles_from=64)), classes=classes
    )
    monkeypatch.setattr(zoo, "load", lambda name: stand_in)
    ended = run("demo", "labels")
    assert ended.status == 0 and Path("demo.png").read_text() == "of the other demo"
    for words in ("edited pixels", "tiles at 256 × 256", "seconds, 1 step ", "less arithmetic", "see demo-labels.png"):
        assert words in ended.out
    page = np.asarray(Image.open("demo-labels.png"))
    shown = {tuple(colour) for colour in page.reshape(-1, 3).tolist()}
    assert set(palette) - shown <= {palette[0], palette[8], palette[11]}  # what the map has, in its colours


@pytest.mark.usefixtures("untrained")
def test_a_picture_of_the_users_own_is_left_alone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (3, 3), "red").save("demo.png")
    mine = Path("demo.png").read_bytes()
    for _ in range(2):  # the second takes the place of what the first wrote
        assert run("demo", "--steps", 1, "--json").json["out"] == "demo-2.png"
    assert Path("demo.png").read_bytes() == mine and Image.open("demo-2.png").width > 1000
    assert {path.name for path in tmp_path.iterdir()} == {"demo.png", "demo-2.png", "model"}
    assert run("demo", "--steps", 1, "--json", "--out", "demo.png").json["out"] == "demo.png"  # as was asked
    assert Image.open("demo.png").width > 1000


def test_a_demo_that_is_not(run: Run, tmp_path: Path) -> None:
    assert "there is no demo 'label': it is picture or labels" in run("demo", "label").sentence
    for option, value in (("--steps", 3), ("--strength", 0.5), ("--seed", 0)):
        said = run("demo", "labels", option, value, "--out", tmp_path / "demo.png").sentence
        assert f"{option} is for pictures: the network of label maps runs once" in said
    assert not (tmp_path / "demo.png").exists()


def test_a_pipe_of_the_demos_name_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "demo.png")
    assert own_or_new(tmp_path / "demo.png") == tmp_path / "demo-2.png"


def test_the_demo_looks_where_it_may_write_before_it_runs(run: Run, tmp_path: Path) -> None:
    assert "there is no folder" in run("demo", "--out", tmp_path / "missing" / "demo.png").sentence


@pytest.mark.slow
def test_the_demo_as_shipped(run: Run, tmp_path: Path) -> None:
    numbers = run("demo", "--out", tmp_path / "demo.png", "--json").json
    assert numbers["difference"] < 5
    assert numbers["seconds"] < numbers["dense_seconds"]


@pytest.mark.slow
def test_the_demo_of_label_maps_as_shipped(run: Run, tmp_path: Path) -> None:
    numbers = run("demo", "labels", "--out", tmp_path / "demo.png", "--json").json
    assert 0.01 < numbers["edited"] < 0.1
    assert numbers["difference"] < 5
    assert numbers["seconds"] < numbers["dense_seconds"]
