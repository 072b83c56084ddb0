import json
from pathlib import Path

import pytest

from sige_mlx import zoo
from sige_mlx.families import KNOWN
from tests.cli.conftest import Run
from tests.tiny import SIZE, write_tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_known_model_is_listed_with_its_origin(run: Run) -> None:
    listed = {model["name"]: model for model in run("models", "--json").json["models"]}
    assert list(listed) == zoo.names()
    gaugan = listed["gaugan-cityscapes"]
    assert (gaugan["family"], gaugan["image"], gaugan["here"]) == ("spade", [256, 512], False)
    spade, fused, own = gaugan["published"]
    assert (spade["file"], fused["file"]) == ("spade.pth", "fused_spade.pth") and len(spade["md5"]) == 32
    assert own["file"] == "cityscapes_pretrained/latest_net_G.pth" and own["md5"] is None
    assert listed["pd-church-256"]["published"] == []
    assert 92e6 < gaugan["parameters"] < 94e6
    for name in zoo.EMBEDDED:
        assert listed[name]["embedded"] and "published" not in listed[name]
    assert (listed[zoo.LABELS]["family"], listed[zoo.LABELS]["image"]) == ("spade", [256, 256])


def test_what_was_converted_is_told(run: Run, cache: Path) -> None:
    write_tiny_model(cache / "mine")
    models = {model["name"]: model for model in run("models", "--json").json["models"]}
    assert models["mine"]["here"] and models["mine"]["image"] == [SIZE, SIZE]
    lines = {line.split()[0]: line for line in run("models").out.splitlines() if line.strip()}
    assert lines["mine"].endswith(" converted") and lines["gaugan-cityscapes"].endswith("not converted")
    assert all(lines[name].endswith("in the package") for name in zoo.EMBEDDED)


def test_the_checkpoints_are_named(run: Run) -> None:
    out = run("models").out
    for name, (_, known) in KNOWN.items():
        for file in known.files:
            assert f"  {name}: {file.name} from {file.place}" in out
    assert "  pd-church-256: no checkpoint was published\n" in out
    assert "None" not in out


def test_a_folder_that_cannot_be_read_is_told_and_the_others_listed(run: Run, cache: Path) -> None:
    (cache / "broken").mkdir(parents=True)
    (cache / "broken" / "config.json").write_text("{")
    ended = run("models", "--json")
    assert ended.status == 0
    broken = next(model for model in ended.json["models"] if model["name"] == "broken")
    assert "cannot be read as a model's configuration" in broken["error"] and "image" not in broken
    assert json.dumps(broken["error"])[1:-1] in json.dumps(run("models").out)


def test_a_cache_that_cannot_be_read_hides_no_other_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "file"))
    ended = run("models", "--json")
    assert [model["name"] for model in ended.json["models"]] == [*zoo.EMBEDDED, *KNOWN]
    assert ended.json["error"].startswith(f"the cache {tmp_path / 'file'} cannot be read: Not a directory;")
    assert ended.json["error"] in run("models").out
    assert run("info").status == run("info", "-m", "ddpm-church-256").status == 0
    for verb in ("info", "bench"):
        assert "cannot be read: Not a directory" in run(verb, "-m", "mine").sentence


def test_a_model_of_a_name_that_is_taken_is_listed_as_it_is(run: Run, cache: Path) -> None:
    for name in ("ddpm-church-256", zoo.DEFAULT):
        write_tiny_model(cache / name)
    models = {model["name"]: model for model in run("models", "--json").json["models"]}
    assert models["ddpm-church-256"]["image"] == [SIZE, SIZE] and models["ddpm-church-256"]["here"]
    assert models[zoo.DEFAULT]["image"] == [128, 128] and models[str(cache / zoo.DEFAULT)]["image"] == [SIZE, SIZE]
