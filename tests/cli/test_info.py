from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.cli.mask_picture import COLOURS, mask_picture
from sige_mlx.editing import LabelSession
from tests.cli.conftest import Run
from tests.files import chunk, header
from tests.tiny import LABEL_CONFIG, SIZE, edited_labels, instances, label_engine, labels, write_tiny_model


def test_the_published_network_costs_what_was_published(run: Run) -> None:
    numbers = run("info", "-m", "ddpm-church-256", "--edit", 1.2, "--steps", 50, "--json").json
    assert numbers["macs"] / 1e9 == pytest.approx(248.5, abs=0.2)
    assert numbers["parameters"] == 113_673_219
    assert numbers["cache_bytes"] == 50 * numbers["cache_bytes_per_step"]
    edit = numbers["edit"]
    assert edit["edited"] == pytest.approx(0.012, abs=1e-4)
    assert edit["macs"] / 1e9 == pytest.approx(14, abs=1)
    assert edit["bytes_moved"] < numbers["bytes_moved"] / 3
    assert edit["tiles"]["256x256"][1] == 4096


def test_it_says_what_recordings_take(run: Run, model: Path) -> None:
    numbers = run("info", "-m", model, "--json").json
    recordings = zoo.load(str(model)).engine().recordings
    assert numbers["cache_bytes_per_step"] == recordings.step_nbytes()
    assert len(numbers["cache_bytes_per_step_by_codec"]) == 3
    for codec, nbytes in numbers["cache_bytes_per_step_by_codec"].items():
        assert nbytes == recordings.step_nbytes(codec)


def test_tiles_may_begin_at_another_plane(run: Run) -> None:
    """At 64, as in the released configuration, most of the work of a distilled network is done whole."""
    own, at_8, at_32, at_64 = (
        run("info", "-m", "pd-church-256", "--edit", 1.2, "--json", *more).json
        for more in ((), ("--threshold", 8), ("--threshold", 32), ("--threshold", 64))
    )
    assert own == at_8 and own["steps"] == 5
    assert own["macs"] / 1e9 == pytest.approx(118.7, abs=0.1)
    assert own["edit"]["macs"] / 1e9 == pytest.approx(12, abs=1)
    assert at_32["edit"]["macs"] / 1e9 == pytest.approx(18, abs=2)
    assert at_64["edit"]["macs"] / 1e9 == pytest.approx(36, abs=3)


def test_layers_add_up(run: Run, model: Path) -> None:
    numbers = run("info", "-m", model, "--edit", 5, "--layers", "--json").json
    for total, part in {"macs": "macs", "bytes_moved": "bytes_moved"}.items():
        assert sum(layer[part] for layer in numbers["layers"]) == numbers[total]
        assert sum(layer[f"edit_{part}"] for layer in numbers["layers"]) == numbers["edit"][total]


def test_how_convolutions_are_computed(run: Run, model: Path) -> None:
    given = ("info", "-m", model, "--edit", 5, "--explain", "--threads", 1)
    explained = run(*given, "--json").json["explained"]
    assert explained["pass"] == "edit" and explained["threads"] == 1
    assert explained["measured"]["gflops"] > 0 < explained["measured"]["bandwidth_gb_per_s"]
    for total in ("macs", "macs_left", "weight_nbytes", "nbytes"):
        assert sum(c[total] for c in explained["convolutions"]) == explained[total] > 0
    assert sum(c["ms_at_least"] for c in explained["convolutions"]) == pytest.approx(explained["ms_at_least"])
    assert {c["bound"] for c in explained["convolutions"]} <= {"FMA", "memory"}
    shown = run(*given).out
    for c in explained["convolutions"]:
        assert c["layer"] in shown
    assert "GFLOPS in registers" in shown and "bound by memory" in shown


def test_the_dense_pass_is_explained_without_an_edit(run: Run, model: Path) -> None:
    explained = run("info", "-m", model, "--explain", "--json").json["explained"]
    assert explained["pass"] == "dense pass"
    assert all(c["tiles"] is None for c in explained["convolutions"])


def test_an_empty_edit_has_nothing_to_explain(run: Run, model: Path, pictures: Path) -> None:
    same = ("--original", pictures / "a.png", "--edited", pictures / "a.png")
    explained = run("info", "-m", model, *same, "--explain", "--json").json["explained"]
    assert explained["convolutions"] == [] and explained["ms_at_least"] == 0


def test_an_edit_by_pictures_and_by_mask(run: Run, model: Path, pictures: Path) -> None:
    by_pictures = run("info", "-m", model, "--original", pictures / "a.png", "--edited", pictures / "b.png", "--json")
    assert by_pictures.json["edit"]["edited"] == 60 / SIZE**2
    assert by_pictures.json["edit"]["tiles"]["32x32"] == [15, 64]
    by_mask = run("info", "-m", model, "--mask", pictures / "b.png", "--json").json
    assert 0 < by_mask["edit"]["edited"] < 1


def test_pictures_are_read_as_an_edit_reads_them(run: Run, model: Path, pictures: Path) -> None:
    """Their formats' noise, their orientation, their size before they are decoded."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, quarter in (("a", Image.open(pictures / "a.png")), ("b", Image.open(pictures / "b.png"))):
        quarter.transpose(Image.Transpose.ROTATE_90).save(pictures / f"{name}.tiff", exif=turned)
    given = ["info", "-m", model, "--original", pictures / "a.tiff", "--edited"]
    assert run(*given, pictures / "b.tiff", "--json").json["edit"]["edited"] == 60 / SIZE**2
    Image.open(pictures / "b.png").save(pictures / "b.jpg", quality=90)
    ended = run(*given, pictures / "b.jpg", "--json")
    assert "JPEG changes every pixel" in ended.err and ended.json["edit"]["edited"] > 0.5
    assert run(*given, pictures / "b.jpg", "--tolerance", 40, "--json").json["edit"]["edited"] < 0.2
    (pictures / "huge.png").write_bytes(header(13000, 13000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert "huge.png is 13000×13000 pixels" in run(*given, pictures / "huge.png").sentence


def label_maps(folder: Path) -> list[object]:
    """The options of an edit of a label map, whose files are put into the folder."""
    files = {"labels": labels(), "edited-labels": edited_labels(), "instances": instances().astype(np.uint16)}
    for name, ids in files.items():
        Image.fromarray(ids).save(folder / f"{name}.png")
    return [word for name in files for word in (f"--{name}", folder / f"{name}.png")]


def test_an_edit_of_a_label_map(run: Run, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "labels", LABEL_CONFIG)
    (model / "model.safetensors").unlink()  # the network is not run
    session = LabelSession(label_engine(), labels(), instances())
    maps = label_maps(tmp_path)
    edit = run("info", "-m", model, *maps, "--json").json["edit"]
    assert edit["edited"] == session.mask(edited_labels()).mean()
    assert edit["macs"] == session.edit(edited_labels()).macs
    one_car = np.where(instances() == 26001, 26000, instances())
    Image.fromarray(one_car.astype(np.uint16)).save(tmp_path / "j.png")
    edit = run("info", "-m", model, *maps, "--edited-instances", tmp_path / "j.png", "--json").json["edit"]
    assert edit["edited"] == session.mask(edited_labels(), one_car).mean()
    assert f"{tmp_path / 'labels.png'} has the class" in run("info", *maps[:4]).sentence  # by the model in the package


def test_pictures_for_a_network_of_label_maps(run: Run, pictures: Path) -> None:
    given = ["--original", pictures / "a.png", "--edited", pictures / "b.png"]
    assert "give --labels and --edited-labels" in run("info", "-m", zoo.LABELS, *given).sentence


def test_the_classes_of_label_maps_are_listed(run: Run, model: Path) -> None:
    lines = run("info", "-m", "gaugan-cityscapes").out.splitlines()
    assert any(line.split() == ["sky", "23", "70,", "130,", "180"] for line in lines)
    assert any(line.startswith("cache") and " for 1 step, " in line for line in lines)
    classes = run("info", "-m", zoo.LABELS, "--json").json["classes"]
    assert [(c["name"], tuple(c["colour"])) for c in classes] == list(zoo.classes(zoo.LABELS))
    assert [c["id"] for c in classes] == list(range(len(classes)))
    assert "classes" not in run("info", "-m", model, "--json").json


def test_classes_that_nobody_named(run: Run) -> None:
    assert "classes 0 to 150, whose names and colours nobody told" in run("info", "-m", "gaugan-ade20k").out
    assert run("info", "-m", "gaugan-ade20k", "--json").json["classes"] == [{"id": i} for i in range(151)]


def test_an_empty_edit_costs_nothing(run: Run, model: Path, pictures: Path) -> None:
    same = ["--original", pictures / "a.png", "--edited", pictures / "a.png"]
    edit = run("info", "-m", model, *same, "--json").json["edit"]
    assert (edit["macs"], edit["bytes_moved"]) == (0, 0)
    assert run("info", "-m", model, *same).status == 0


def test_the_summary_and_the_drawing(run: Run, model: Path, pictures: Path) -> None:
    ended = run("info", "-m", model, "--original", pictures / "a.png", "--edited", pictures / "b.png", "--layers")
    for words in ("parameters", "cache", "tiles at 32 × 32", "GMACs a step", "MB moved", "up.0.block.0.conv1"):
        assert words in ended.out
    drawn = [line for line in ended.out.splitlines() if line and set(line.strip()) <= set("·░█")]
    assert len(drawn) == SIZE // 2
    assert drawn[5].strip() == "·" * 4 + "░" * 5 + "█" * 8 + "░" * 3 + "·" * 12


@pytest.mark.parametrize(
    ("name", "first"), [("graph.txt", "%0 = Input() x"), ("graph.mmd", "flowchart"), ("graph.dot", "digraph")]
)
def test_the_graph_is_written(run: Run, model: Path, tmp_path: Path, name: str, first: str) -> None:
    assert "is written" in run("info", "-m", model, "--graph", tmp_path / name).out
    assert (tmp_path / name).read_text().startswith(first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--edit", "0"], "an edit of 0 %"),
        (["--edit", "101"], "an edit of 101 %"),
        (["--edit", "nan"], "an edit of nan %"),
        (["--edit", "1", "--mask", "a.png"], "give only one of them"),
        (["--edit", "1", "--labels", "a.png", "--edited-labels", "b.png"], "give only one of them"),
        (["--labels", "a.png"], "--labels and --edited-labels go together"),
        (["--edited-instances", "a.png"], "--edited-instances says where the objects of a label map are"),
        (["--labels", "a.png", "--edited-labels", "b.png"], "this model reads pictures: label maps are for"),
        (["--original", "a.png"], "--original and --edited go together"),
        (["--tolerance", "3"], "--tolerance says where --original and --edited differ"),
        (["--mask", "a.png", "--tolerance", "3"], "it does not go with --mask"),
        (["--original", "a.png", "--edited", "b.png", "--tolerance", "256"], "--tolerance is 256.0: it must be from 0"),
        (["--threshold", "-5"], "the threshold of planes is -5: it must be 1 or more"),
        (["--graph", "n" * 252 + ".dot"], "cannot be written: File name too long"),
        (["--mask", "typo.png"], "there is no such file"),
        (["--graph", "graph.svg"], ".mmd (Mermaid) or .dot (Graphviz) would be right"),
        (["--graph", "missing/graph.dot"], "there is no folder missing"),
        (["--steps", "0"], "there must be 1 or more"),
        (["-m", "nosuch"], "neither a model's name"),
        (["--threads", "2"], "--threads says on how many threads --explain measures this machine"),
        (["--explain", "--threads", "-1"], "threads is -1: it must be"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(pictures)
    assert words in run("info", "-m", model, *arguments).sentence
    assert {path.name for path in pictures.iterdir()} == {"a.png", "b.png"}


def test_the_drawing_in_colour() -> None:
    mask = np.zeros((3, 200), np.bool_)
    tiles = mask.copy()
    tiles[:, :8] = True
    mask[2, 5] = True
    drawn = mask_picture(mask, tiles, colour=True)
    assert drawn.plain == "▀" * 50  # 4 pixels a column, two cells a line, the second beyond the plane
    assert [str(span.style) for span in drawn.spans[:3]] == [
        f"{COLOURS[1]} on {COLOURS[0]}",
        f"{COLOURS[2]} on {COLOURS[0]}",
        f"{COLOURS[0]} on {COLOURS[0]}",
    ]
