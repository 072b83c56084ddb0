"""`sige-mlx edit` of label maps."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing import LabelSession
from sige_mlx.editing.label_maps import colours
from sige_mlx.engine import Engine
from tests.cli.conftest import Ended, Run
from tests.tiny import LABEL_CONFIG, edited_labels, instances, label_engine, labels, write_tiny_model

Edit = Callable[..., Ended]


@pytest.fixture(scope="session")
def label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "labels", LABEL_CONFIG)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """A folder with `a.png` and `b.png`, label maps before and after an edit, and `i.png`, instances before."""
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.fromarray(labels()).save(folder / "a.png")
    Image.fromarray(edited_labels()).save(folder / "b.png")
    Image.fromarray(instances().astype(np.uint16)).save(folder / "i.png")
    Image.fromarray(labels()).save(folder / "a.jpg")
    Image.new("L", (1, 1)).save(folder / "dot.png")
    return folder


@pytest.fixture
def edit(run: Run, label_model: Path, maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """`sige-mlx edit` of the maps, from their folder; keywords replace or add options, None takes one away."""
    monkeypatch.chdir(maps)

    def command(**replaced: object) -> Ended:
        files: dict[str, object] = {"labels": "a.png", "edited_labels": "b.png", "out": tmp_path / "c.png"}
        arguments: list[object] = []
        for name, value in {"model": label_model, **files, **replaced}.items():
            option = "--" + name.replace("_", "-")
            if value is not None:
                arguments += [option] if value is True else [option, value]
        return run("edit", *arguments)

    return command


def written(tmp_path: Path) -> np.ndarray:
    return np.asarray(Image.open(tmp_path / "c.png"))


def test_edit_writes_the_sessions_result_and_tells_its_cost(edit: Edit, tmp_path: Path) -> None:
    ended = edit()
    expected = LabelSession(label_engine(), labels()).edit(edited_labels(), once=True)
    assert np.array_equal(written(tmp_path), expected.image)
    for words in ("edited pixels", "GMACs, 1 step ", "seconds, 1 step ", "c.png is written"):
        assert words in ended.out


def test_instances_reach_the_session(edit: Edit, tmp_path: Path, maps: Path) -> None:
    one_car = np.where(instances() == 26001, 26000, instances())
    Image.fromarray(one_car.astype(np.uint16)).save(maps / "j.png")
    assert edit(instances="i.png", edited_instances="j.png").status == 0
    expected = LabelSession(label_engine(), labels(), instances()).edit(edited_labels(), one_car, once=True)
    assert np.array_equal(written(tmp_path), expected.image)


def test_instances_in_colour_are_the_same(edit: Edit, tmp_path: Path, maps: Path) -> None:
    """The colours of two cars are no classes'."""
    Image.fromarray(np.stack([instances() >> 8, instances() & 255, labels()], -1).astype(np.uint8)).save(maps / "i.png")
    assert edit(instances="i.png").status == 0
    expected = LabelSession(label_engine(), labels(), instances()).edit(edited_labels(), once=True)
    assert np.array_equal(written(tmp_path), expected.image)


def test_maps_in_colour(edit: Edit, tmp_path: Path, maps: Path) -> None:
    for name, ids in (("a", labels()), ("b", edited_labels())):
        Image.fromarray(colours(ids)).save(maps / f"{name}.png")
    assert edit().status == 0
    assert np.array_equal(
        written(tmp_path), LabelSession(label_engine(), labels()).edit(edited_labels(), once=True).image
    )


def test_maps_in_the_models_own_colours(edit: Edit, tmp_path: Path, maps: Path) -> None:
    model = write_tiny_model(tmp_path / "own", LABEL_CONFIG)
    own = tuple((7 * i, 255 - i, i) for i in range(LABEL_CONFIG.input_nc))
    (model / "labels.json").write_text(json.dumps({str(i): colour for i, colour in enumerate(own)}))
    for name, ids in (("a", labels()), ("b", edited_labels())):
        Image.fromarray(colours(ids, own)).save(maps / f"{name}.png")
    assert edit(model=model).status == 0
    assert np.array_equal(
        written(tmp_path), LabelSession(label_engine(), labels()).edit(edited_labels(), once=True).image
    )
    assert "it is none of the classes'" in edit().sentence


def test_the_model_of_label_maps_in_the_package(run: Run, tmp_path: Path) -> None:
    maps = (zoo.ASSETS / "demo" / name for name in ("labels.png", "labels-painted.png"))
    given = zip(("--labels", "--edited-labels", "--out"), (*maps, tmp_path / "c.png"), strict=True)
    numbers = run("edit", *(word for pair in given for word in pair), "--json").json
    assert numbers["model"] == zoo.LABELS and 0.01 < numbers["edited"] < 0.1
    assert written(tmp_path).shape == (256, 256, 3)


def test_json_and_report(edit: Edit, tmp_path: Path) -> None:
    numbers = edit(json=True, compare=True, report=tmp_path / "report.png").json
    assert numbers["steps"] == 1 and numbers["tiles"]["32x64"][1] == 128
    assert 0 < numbers["macs"] < numbers["dense_macs"]
    assert min(numbers["seconds"], numbers["dense_seconds"], numbers["recorded_seconds"]) > 0
    assert 0 <= numbers["difference"] < 20
    assert Image.open(tmp_path / "report.png").width > 384


def test_maps_that_do_not_differ(edit: Edit, tmp_path: Path) -> None:
    assert "Nothing was edited: the label maps do not differ." in edit(edited_labels="a.png").out
    assert np.array_equal(written(tmp_path), LabelSession(label_engine(), labels()).record())


@pytest.mark.parametrize("name", ["a.png", "b.png", "i.png"])
def test_an_input_is_never_replaced(edit: Edit, maps: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in maps.iterdir()}
    assert f"{name} is what the result is made from" in edit(out=name, instances="i.png").sentence
    assert {path.name: path.read_bytes() for path in maps.iterdir()} == before


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"labels": None, "edited_labels": None}, "there is no edit: give --original and --edited, or --labels"),
        ({"edited_labels": None}, "--labels and --edited-labels go together"),
        ({"labels": None}, "--labels and --edited-labels go together"),
        ({"labels": None, "edited_labels": None, "original": "a.png"}, "--original and --edited go together"),
        ({"original": "a.png", "edited": "b.png"}, "--original is for pictures and --labels for label maps"),
        ({"mask": "a.png"}, "--mask is for pictures and --labels for label maps: give one kind"),
        ({"steps": 20}, "--steps is for pictures"),
        ({"tolerance": 20}, "--tolerance is for pictures and --labels for label maps"),
        ({"strength": 0.5}, "--strength is for pictures"),
        ({"seed": 0}, "--seed is for pictures"),
        ({"sampler": "ddim"}, "--sampler is for pictures"),
        (
            {"labels": None, "edited_labels": None, "instances": "i.png"},
            "--instances says where the objects of a label map are: give --labels and --edited-labels",
        ),
        ({"edited_instances": "i.png"}, "--edited-instances goes with --instances"),
        ({"labels": "typo.png"}, "typo.png: there is no such file"),
        ({"labels": "a.jpg"}, "a.jpg cannot be trusted: JPEG changes colours and ids, so save maps as PNG"),
        ({"instances": "a.jpg"}, "a.jpg cannot be trusted: JPEG changes colours and ids"),
        ({"instances": "typo.png"}, "typo.png: there is no such file"),
        ({"labels": "dot.png"}, "b.png is 64×32 pixels (width × height): 1×1 is wanted; resize"),
        ({"edited_labels": "dot.png"}, "dot.png is 1×1"),
        ({"window": "0,0,64"}, "--window is for diffusion models: this one sees the picture whole"),
        ({"scale": 2}, "a label map is seen whole, at the scale that this takes: leave the scale away"),
        ({"instances": "dot.png"}, "dot.png is 1×1"),
        ({"model": zoo.DEFAULT}, f"this model reads pictures: label maps are for {zoo.LABELS}, gaugan-cityscapes and"),
        ({"model": "gaugan-cityscapes"}, "the weights of gaugan-cityscapes are not on this machine: get spade.pth"),
        ({"out": "c.xyz"}, "the extension '.xyz' names no picture format"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_run(
    edit: Edit,
    maps: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: dict[str, object],
    words: str,
) -> None:
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    before = {path.name: path.read_bytes() for path in maps.iterdir()}
    assert words in edit(**replaced).sentence
    assert {path.name: path.read_bytes() for path in maps.iterdir()} == before
    assert not (tmp_path / "c.png").exists()


def test_pictures_for_a_network_of_label_maps(run: Run, label_model: Path, maps: Path, tmp_path: Path) -> None:
    given = ["--original", maps / "a.png", "--edited", maps / "b.png", "--out", tmp_path / "c.png"]
    said = run("edit", "-m", label_model, *given).sentence
    assert said.endswith(f"{label_model} makes pictures of label maps: give --labels and --edited-labels")


def test_info_counts_one_pass(run: Run, label_model: Path) -> None:
    numbers = run("info", "-m", label_model, "--edit", "5", "--json").json
    assert (numbers["image"], numbers["steps"]) == ([32, 64], 1)
    assert 0 < numbers["edit"]["macs"] < numbers["macs"]
