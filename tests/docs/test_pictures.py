"""The pictures of the documentation are those that the package draws."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs import pictures
from tests.documents import PAGES, ROOT

pytestmark = pytest.mark.slow

DRAWN = ROOT / "docs" / "pages" / "pictures"
TABLE = 1010
"""Rows of reports above their figures, which have times."""
EDITOR = {"editor.webp", "editor.png"}
"""Those that `python -m benchmarks.screenshots` takes, of a browser."""
HEAD = 130
"""Rows of their titles, which have times too."""


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("dot"):
        pytest.skip("Graphviz is not installed")
    folder = tmp_path_factory.mktemp("pictures")
    pictures.draw(folder)
    return folder


def test_no_other_is_there(anew: Path) -> None:
    assert {path.name for path in anew.iterdir()} == {*pictures.PICTURES}
    assert {path.name for path in DRAWN.iterdir()} == {*pictures.PICTURES} | EDITOR


@pytest.mark.parametrize("name", [name for name in pictures.PICTURES if name.endswith(".png")])
def test_a_picture_is_what_is_drawn(name: str, anew: Path) -> None:
    """All of it but times. Processors round differently, which a difference that is shown ten times as strong shows."""
    with Image.open(DRAWN / name) as kept, Image.open(anew / name) as drawn:
        before, after = (np.asarray(image.convert("RGB"), np.int16) for image in (kept, drawn))
    assert before.shape == after.shape
    rows = slice(HEAD, TABLE) if len(before) > TABLE else slice(None)
    assert np.abs(before[rows] - after[rows]).mean() < 1.5


def test_graphs_have_the_same_layers(anew: Path) -> None:
    kept, drawn = ((folder / "network.svg").read_text("utf-8") for folder in (DRAWN, anew))
    assert kept.count("<polygon") > 5 and "up: Conv2d" in kept
    texts = [[line for line in svg.splitlines() if "<text" in line] for svg in (kept, drawn)]
    assert [line.split(">")[1] for line in texts[0]] == [line.split(">")[1] for line in texts[1]]


def test_every_picture_is_shown() -> None:
    shown = "".join(path.read_text("utf-8") for path in PAGES)
    names = [*pictures.PICTURES, *EDITOR]
    assert [name for name in names if f"](pictures/{name})" not in shown.replace("\n", "")] == []
