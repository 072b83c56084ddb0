"""`sige-mlx edit`, `info` and `convert` of networks that translate pictures."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.cli.figures import difference
from sige_mlx.editing import TranslationSession
from sige_mlx.engine import Engine
from tests.cli.conftest import Ended, Run
from tests.converters.networks import resnet_generator
from tests.converters.writer import save
from tests.tiny import SIZE, TRANSLATION_CONFIG, original, painted, translation_engine

Edit = Callable[..., Ended]


@pytest.fixture
def edit(run: Run, translator: Path, pictures: Path, tmp_path: Path) -> Edit:
    """`sige-mlx edit` of the pictures with further options."""

    def command(*options: object, original: str = "a.png", edited: str = "b.png") -> Ended:
        files = ["--original", pictures / original, "--edited", pictures / edited, "--out", tmp_path / "c.png"]
        return run("edit", "-m", translator, *files, *options)

    return command


def session() -> TranslationSession:
    """Of the pictures, which are square."""
    square = dataclasses.replace(TRANSLATION_CONFIG, image_size=(SIZE, SIZE))
    return TranslationSession(translation_engine(config=square), original())


def test_the_engine_is_made_for_the_pictures_size(edit: Edit, tmp_path: Path) -> None:
    ended = edit()
    assert TRANSLATION_CONFIG.image_size != (SIZE, SIZE)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), session().edit(painted(), once=True).image)
    for words in ("edited pixels", "GMACs, 1 step", "c.png is written"):
        assert words in ended.out


def test_json_with_report_and_comparison(edit: Edit, tmp_path: Path) -> None:
    numbers = edit("--json", "--compare", "--report", tmp_path / "r.png").json
    assert numbers["steps"] == 1 and 0 < numbers["macs"] < numbers["dense_macs"]
    opened = session()
    assert numbers["difference"] == difference(opened.edit(painted()), opened.dense(painted()))
    assert Image.open(tmp_path / "r.png").size[0] > 1000


def test_a_drawn_mask_decides(edit: Edit, pictures: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[0:4, 0:8] = 255
    Image.fromarray(mask).save(pictures / "m.png")
    assert edit("--mask", pictures / "m.png", "--json").json["edited"] == 32 / SIZE**2


def test_pictures_that_do_not_differ(edit: Edit, tmp_path: Path) -> None:
    ended = edit(edited="a.png")
    assert "Nothing was edited: the pictures do not differ. The result is the original translated." in ended.out
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), session().record())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--steps", 20], "--steps is for diffusion models: {model} translates a picture, in one pass"),
        (["--strength", 0.5], "--strength is for diffusion models"),
        (["--seed", 0], "--seed is for diffusion models"),
        (["--sampler", "ddim"], "--sampler is for diffusion models"),
    ],
)
def test_settings_of_diffusion_models_do_not_apply(
    edit: Edit, translator: Path, tmp_path: Path, options: list[object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    assert sentence.format(model=translator) in edit(*options).sentence
    assert not (tmp_path / "c.png").exists()


@pytest.mark.parametrize(
    ("size", "options", "seen"),
    [
        ((34, 37), [], (1, 34, 37)),
        ((3, 5), [], (1, 3, 5)),
        ((90, 70), ["--scale", 2], (2, 90, 70)),
    ],
)
def test_pictures_of_any_size(
    edit: Edit,
    run: Run,
    pictures: Path,
    tmp_path: Path,
    size: tuple[int, int],
    options: list[object],
    seen: tuple[int, int, int],
) -> None:
    before = Image.effect_noise(size, 60).convert("RGB")
    before.save(pictures / "odd.png")
    before.paste("red", (0, 0, 2, 2))
    before.save(pictures / "red.png")
    session = ["--session", tmp_path / "s.sige", "--commit"]
    told = edit(*options, *session, "--json", original="odd.png", edited="red.png").json
    scale, width, height = seen
    assert told["window"] == {"x": 0, "y": 0, "width": width, "height": height, "scale": pytest.approx(scale, rel=0.1)}
    assert Image.open(tmp_path / "c.png").size == size
    going_on = ["--session", tmp_path / "s.sige", "--edited", pictures / "odd.png", "--out", tmp_path / "d.png"]
    assert run("edit", *going_on, "--json").json["window"] == told["window"]
    said = run("edit", *going_on, "--scale", 3).sentence
    assert "s.sige sees what it edits at the scale that it was begun with: leave --scale away" in said
    assert "--window is for diffusion models" in edit("--window", "0,0,32", original="odd.png").sentence


def test_pictures_it_cannot_take(edit: Edit, pictures: Path) -> None:
    Image.new("RGB", (48, 32)).save(pictures / "wide.png")
    said = edit(edited="wide.png").sentence
    assert "wide.png is 48×32 pixels (width × height): the original is 32×32, and both must have one size" in said
    assert "wide.png is 48×32 pixels (width × height): its picture is" in edit("--mask", pictures / "wide.png").sentence


def test_label_maps_are_for_others(run: Run, translator: Path, pictures: Path, tmp_path: Path) -> None:
    files = ["--labels", pictures / "a.png", "--edited-labels", pictures / "b.png", "--out", tmp_path / "c.png"]
    assert "--labels is for label maps" in run("edit", "-m", translator, *files).sentence


def test_info_goes_by_the_pictures_too(run: Run, translator: Path, pictures: Path) -> None:
    files = ["--original", pictures / "a.png", "--edited", pictures / "b.png"]
    numbers = run("info", "-m", translator, *files, "--json").json
    assert numbers["edit"]["tiles"][f"{SIZE}x{SIZE}"][1] == (SIZE // 4) ** 2
    nominal = run("info", "-m", translator, "--json").json
    assert numbers["macs"] * 48 == nominal["macs"] * 32
    assert run("info", "-m", translator, "--mask", pictures / "a.png", "--json").json["macs"] == numbers["macs"]


def test_a_published_checkpoint_goes_by_its_files_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    source = save(tmp_path / "mine.pth", resnet_generator())
    assert run("convert", source).status == 0
    assert run("info", "-m", "mine", "--json").json["parameters"] > 0
