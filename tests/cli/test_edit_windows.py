"""`sige-mlx edit` and `info` of pictures that have not the size of the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.cli.conftest import Edit, Run
from tests.files import display_p3
from tests.tiny import SIZE

SHAPE = (90, 130)


def photograph() -> npt.NDArray[np.uint8]:
    rng, (y, x) = np.random.default_rng(0), np.mgrid[: SHAPE[0], : SHAPE[1]]
    hills = np.stack([120 + 60 * np.sin(y / (9 + c)) * np.cos(x / (7 + c)) for c in range(3)], -1)
    return np.clip(hills + rng.normal(0, 9, hills.shape), 0, 255).astype(np.uint8)


def brushed(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    edited = pixels.copy()
    edited[40:50, 60:72, :3] = (210, 60, 30)
    return edited


@pytest.fixture
def photographs(pictures: Path) -> Path:
    """The folder, with `a.png` and `b.png` larger than the model's pictures."""
    Image.fromarray(photograph()).save(pictures / "a.png")
    Image.fromarray(brushed(photograph())).save(pictures / "b.png")
    return pictures


def written(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def unedited(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Whether two pictures are alike a few pixels away from the brush."""
    far = np.ones(SHAPE, np.bool_)
    far[37:53, 57:75] = False
    return bool(np.array_equal(a[far], b[far])) and not np.array_equal(a, b)


@pytest.mark.usefixtures("photographs")
def test_the_window_is_told(edit: Edit, tmp_path: Path) -> None:
    told = edit(json=True, report=tmp_path / "r.png", compare=True).json
    window = told["window"]
    assert (window["width"], window["height"], window["scale"]) == (SIZE, SIZE, 1)
    assert window["x"] <= 60 and window["x"] + SIZE >= 72 and window["y"] <= 40 and window["y"] + SIZE >= 50
    assert unedited(written(tmp_path / "c.png"), photograph())
    assert told["tiles"][f"{SIZE}x{SIZE}"][1] == (SIZE // 4) ** 2
    row = f"{SIZE} × {SIZE}"
    lines = edit().out.splitlines()
    assert any("window" in line and row in line and "130 × 90" in line for line in lines)
    assert Image.open(tmp_path / "r.png").size[0] > 1000


@pytest.mark.usefixtures("photographs")
def test_windows_and_scales_that_are_asked_for(edit: Edit, tmp_path: Path) -> None:
    told = edit(json=True, window=f"50,20,{2 * SIZE}").json
    assert told["window"] == {"x": 50, "y": 20, "width": 64, "height": 64, "scale": 2}
    assert unedited(written(tmp_path / "c.png"), photograph())
    assert edit(json=True, scale=2).json["window"]["scale"] == 2
    assert "the edit is 12×10 pixels from x = 60, y = 40, which the window, 32×32" in edit(window="0,0,32").sentence
    session = tmp_path / "s.sige"
    first = edit(session=session, json=True, scale=2).json["window"]
    again = {"model": None, "steps": None, "original": None, "session": session, "json": True}
    assert edit(**again, scale=2).json["window"] == first
    assert edit(**again, window="55,30,32").json["window"]["x"] == 55
    assert edit(**again).json["window"]["scale"] == 1


@pytest.mark.usefixtures("photographs")
def test_a_session_keeps_its_windows(edit: Edit, run: Run, photographs: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.sige"
    edit(session=file, commit=True)
    second = written(tmp_path / "c.png").copy()
    second[5:12, 5:12] = 10
    Image.fromarray(second).save(photographs / "b.png")
    told = edit(session=file, commit=True, model=None, steps=None, original=None, json=True).json
    shown = run("session", "show", file, "--json").json
    assert len(shown["windows"]) == 2 and shown["windows"][-1]["left"] == told["window"]["x"]
    assert shown["recorded"] == 2 * 3 and "6, in 2 windows" in run("session", "show", file).out
    for _ in range(2):
        assert run("session", "undo", file, "--out", tmp_path / "u.png").status == 0
    assert np.array_equal(written(tmp_path / "u.png"), photograph())
    assert run("session", "redo", file, "--out", tmp_path / "u.png").status == 0
    assert unedited(written(tmp_path / "u.png"), photograph())


def save(kind: str, folder: Path, name: str, pixels: npt.NDArray[np.uint8]) -> str:
    """A picture of a kind; its name."""
    image, path = Image.fromarray(pixels), f"{name}.tiff" if kind == "cmyk" else f"{name}.png"
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(folder / path, exif=exif, icc_profile=display_p3())
    elif kind == "transparent":
        alpha = np.full(SHAPE, 255, np.uint8)
        alpha[:20] = 90
        Image.fromarray(np.dstack([pixels, alpha])).save(folder / path)
    elif kind == "cmyk":
        image.convert("CMYK").save(folder / path)
    return path


@pytest.mark.parametrize("kind", ["turned", "transparent", "cmyk"])
def test_photographs_of_every_kind(edit: Edit, pictures: Path, tmp_path: Path, kind: str) -> None:
    """Upright in Display P3 as phones save them, with transparency, for printing."""
    files = [save(kind, pictures, name, of) for name, of in (("o", photograph()), ("e", brushed(photograph())))]
    told = edit(original=pictures / files[0], edited=pictures / files[1], json=True).json
    result = Image.open(tmp_path / "c.png")
    assert result.size == SHAPE[::-1] and told["window"]["scale"] == 1
    pixels = np.asarray(result)
    assert unedited(pixels[..., :3], photograph())
    if kind == "turned":
        assert result.info["icc_profile"] == display_p3() and result.getexif().get(0x0112) is None
    if kind == "transparent":
        assert (pixels[:20, :, 3] == 90).all() and (pixels[20:, :, 3] == 255).all()
    assert bool(told["notes"]) == (kind == "cmyk")


@pytest.mark.usefixtures("photographs")
def test_info_counts_what_the_window_shows(edit: Edit, run: Run, model: Path, photographs: Path) -> None:
    files = ["--original", photographs / "a.png", "--edited", photographs / "b.png"]
    told, made = run("info", "-m", model, *files, "--json").json, edit(json=True, compare=True).json
    assert told["edit"]["macs"] * made["steps"] == made["macs"]
    mask = np.zeros(SHAPE, np.uint8)
    mask[40:50, 60:72] = 255
    Image.fromarray(mask).save(photographs / "m.png")
    drawn = run("info", "-m", model, "--mask", photographs / "m.png", "--json").json
    assert 0 < drawn["edit"]["macs"] < told["edit"]["macs"]
