import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from sige_mlx import zoo
from tests.cli.conftest import Run
from tests.tiny import CONFIG, write_tiny_model


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small random network in the place of the embedded one."""
    config = dataclasses.replace(CONFIG, image_size=128, attn_resolutions=(), sparse_resolution_threshold=64)
    stand_in = zoo.load(write_tiny_model(tmp_path / "model", config))
    monkeypatch.setattr(zoo, "load", lambda name: stand_in)


@pytest.mark.usefixtures("untrained")
def test_the_demo_writes_its_picture_and_prints_its_table(run: Run, tmp_path: Path) -> None:
    ended = run("demo", "--out", tmp_path / "demo.png", "--steps", 2)
    assert ended.status == 0
    for words in ("edited pixels", "tiles at 128 × 128", "seconds, 2 steps", "less arithmetic", "demo.png"):
        assert words in ended.out
    assert Image.open(tmp_path / "demo.png").width > 1000


@pytest.mark.usefixtures("untrained")
def test_the_demo_in_json(run: Run, tmp_path: Path) -> None:
    numbers = run("demo", "--out", tmp_path / "demo.png", "--steps", 1, "--json").json
    assert 0.005 < numbers["edited"] < 0.15  # an island, not a continent
    assert numbers["dense_seconds"] > 0


def test_the_demo_looks_where_it_may_write_before_it_runs(run: Run, tmp_path: Path) -> None:
    assert "there is no folder" in run("demo", "--out", tmp_path / "missing" / "demo.png").sentence


@pytest.mark.slow
def test_the_demo_as_shipped(run: Run, tmp_path: Path) -> None:
    numbers = run("demo", "--out", tmp_path / "demo.png", "--json").json
    assert numbers["difference"] < 5
    assert numbers["seconds"] < numbers["dense_seconds"]
