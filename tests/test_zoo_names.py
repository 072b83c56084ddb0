"""Names that are taken, files that many are called, and caches that nobody can look into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sige_mlx import zoo
from sige_mlx.errors import SigeError
from sige_mlx.label_classes import CITYSCAPES
from sige_mlx.models.ddpm import DDPMConfig
from tests.privileges import as_an_owner
from tests.test_zoo import CONFIG, save


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that a test never sees the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SIGE_MLX_CACHE", str(folder))
    return folder


def test_a_converted_model_of_a_published_name_is_what_its_folder_says(cache: Path) -> None:
    save(cache / "gaugan-coco")
    assert zoo.load("gaugan-coco").family == "ddpm"
    assert zoo.network("gaugan-coco").family == zoo.random("gaugan-coco").family == "ddpm"
    assert zoo.classes("gaugan-coco") == ()


def test_no_model_is_hidden_by_an_embedded_one(cache: Path) -> None:
    folder = save(cache / zoo.DEFAULT)
    assert str(folder) in zoo.names() and zoo.is_here(str(folder))
    assert zoo.network(str(folder)).model.config.image_size == CONFIG["image_size"]
    assert zoo.network(zoo.DEFAULT).model.config.image_size == 128


@pytest.mark.parametrize("name", [zoo.DEFAULT, "ddpm-cat-256", "mine"])
def test_a_folder_is_found_by_how_it_is_spelled(
    name: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, eps in ((cache / name, 0.25), (Path(name), 0.5), (tmp_path / "deep" / name, 0.75)):
        save(folder, config={"family": "ddpm", "config": {**CONFIG, "eps": eps}})
        assert zoo.load(zoo.spelled(folder)).edit.eps == eps


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("church/ckpt.pth", "church"),
        ("runs/church/checkpoints/epoch=12-step=3400.ckpt", "church"),
        ("church/unet/diffusion_pytorch_model.fp16.safetensors", "church"),
        ("church/pytorch_model.bin", "church"),
        ("church/model-00500.pt", "church"),
        ("church/last.ckpt", "church"),
        ("church/lightning_logs/version_3/checkpoints/last.ckpt", "church"),
        (
            "my/models--google--ddpm-other/snapshots/" + "0" * 40 + "/unet/diffusion_pytorch_model.bin",
            "ddpm-other",
        ),
        ("church/" + "a" * 64, "church"),
        ("church/best_church_model.pth", "best_church_model"),
    ],
)
def test_a_file_that_many_are_called_goes_by_its_folder(path: str, name: str) -> None:
    assert zoo.name_for("ddpm", DDPMConfig(ch=64), Path(path)) == name


@pytest.mark.parametrize("name", [*zoo.EMBEDDED, "gaugan-coco"])
def test_a_name_that_is_another_models_is_not_given(name: str) -> None:
    with pytest.raises(
        SigeError, match=f"would be called {name}, which is the name of another model: give --out FOLDER"
    ):
        zoo.name_for("ddpm", DDPMConfig(ch=64), Path(f"{name}.pth"))


@pytest.fixture(params=["not enterable", "a file", "in a file", "a loop", "too long a name"])
def bad_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder that nobody can look into."""
    folder = tmp_path / "bad"
    if request.param == "not enterable":
        folder.mkdir(mode=0)
    elif request.param == "a loop":
        folder.symlink_to(folder)
    elif request.param == "too long a name":
        folder = tmp_path / ("x" * 300)
    else:
        folder.touch()
        folder = folder / "cache" if request.param == "in a file" else folder
    monkeypatch.setenv("SIGE_MLX_CACHE", str(folder))
    yield folder
    if request.param == "not enterable":
        folder.chmod(0o700)


def test_a_cache_that_nobody_can_look_into(bad_cache: Path) -> None:
    """It hides no model that is elsewhere, and is named wherever it matters."""

    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(SigeError, match=f"^the cache {bad_cache} cannot be read: ") as caught:
            call()
        return str(caught.value)

    assert as_an_owner(lambda: zoo.load(zoo.DEFAULT)).family == "ddpm"
    assert as_an_owner(lambda: zoo.network("ddpm-church-256")).model.config == DDPMConfig()
    assert as_an_owner(lambda: zoo.classes("gaugan-cityscapes")) == CITYSCAPES
    assert not as_an_owner(lambda: zoo.is_here("ddpm-church-256"))
    for call in (zoo.names, lambda: zoo.load("ddpm-church-256"), lambda: zoo.load("mine"), lambda: zoo.network("mine")):
        said = as_an_owner(partial(refused, call))
        assert said.endswith("; SIGE_MLX_CACHE may name another folder")


def test_a_home_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", "~nobody-of-this-name/x")
    assert zoo.load(zoo.DEFAULT).family == zoo.network("ddpm-church-256").family == "ddpm"
    with pytest.raises(SigeError, match="it cannot be told whose home that is; SIGE_MLX_CACHE may name a cache folder"):
        zoo.load("mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SIGE_MLX_CACHE", "~/x")
    assert zoo.cache_folder() == tmp_path / "x"
    save(tmp_path / "mine")
    assert zoo.load("~/mine").family == "ddpm"


def test_a_name_may_be_anything() -> None:
    for name in ("x" * 5000, "a\0b", "\x1b[31m", "~nobody-of-this-name/x", "", ".", "/"):
        with pytest.raises(SigeError, match="is neither a model's name") as caught:
            zoo.load(name)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 2200
