import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sige_mlx import zoo
from tests.cli.conftest import Run
from tests.converters.networks import SMALL, ddpm


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_file(ddpm(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_a_converted_model_can_be_used(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    ended = run("convert", checkpoint, "--out", tmp_path / "model", "--image-size", 32, "--dtype", "float16")
    assert ended.status == 0
    assert "is written: ddpm" in ended.out
    assert zoo.load(tmp_path / "model").model.config == SMALL
    assert run("info", "-m", tmp_path / "model").status == 0


def test_the_cache_is_the_default(run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    ended = run("convert", checkpoint, "--image-size", 32, "--json")
    assert ended.json["folder"] == str(tmp_path / "cache" / "small")
    assert ended.json["parameters"] == sum(array.size for array in ddpm().values())
    assert len(ended.json["sha256"]) == 64
    assert zoo.load("small").model.config == SMALL
    assert run("info", "-m", "small").status == 0


def test_the_published_network_gets_its_published_name() -> None:
    church = zoo.network("ddpm-church-256")[1].config
    assert zoo.name_for("ddpm", church, Path("church256-ddpm-unet.pth")) == "ddpm-church-256"
    assert zoo.name_for("ddpm", church, Path("whatever.pth")) == "whatever"
    assert zoo.name_for("ddpm", SMALL, Path("whatever.pth")) == "whatever"


def test_a_model_is_only_replaced_by_force(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["convert", checkpoint, "--out", tmp_path / "model", "--image-size", 32]
    assert run(*arguments).status == 0
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert "--force" in run(*arguments, "--dtype", "float16").sentence
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert run(*arguments, "--dtype", "float16", "--force").status == 0
    assert len((tmp_path / "model" / "model.safetensors").read_bytes()) < 0.6 * len(before)


def test_what_cannot_be_converted(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no checkpoint")
    save_file({"decoder.weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    out = ["--out", tmp_path / "model"]
    for source in ("typo.pth", "text.pth", "other.safetensors"):
        assert source in run("convert", tmp_path / source, *out).sentence
    assert "float64" in run("convert", checkpoint, *out, "--dtype", "float64").sentence
    assert "gan" in run("convert", checkpoint, *out, "--family", "gan").sentence
    assert not (tmp_path / "model").exists()


def test_a_converted_model_is_not_converted_again(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert run("convert", checkpoint, "--out", model).status == 0
    for folder in (model, zoo.ASSETS / zoo.LABELS):
        said = run("convert", folder / "model.safetensors", "--out", tmp_path / "again").sentence
        assert said.endswith(f"model.safetensors: is converted already; use it with --model {folder}")


def test_weights_of_a_type_that_nobody_reads(run: Run, model: Path, tmp_path: Path) -> None:
    integers = tmp_path / "integers"
    integers.mkdir()
    (integers / "config.json").write_text((model / "config.json").read_text())
    described = json.loads((model / "config.json").read_text())
    network = zoo.network(model)[1]
    assert described["family"] == "ddpm"
    from sige_mlx.nn.module import parameters

    arrays = {name: np.zeros(p.shape, np.int32) for name, p in parameters(network).items()}
    save_file(arrays, integers / "model.safetensors")
    with pytest.raises(ValueError, match="is I32 where F32 or F16 would be right"):
        zoo.load(integers)


def test_settings_go_into_the_configuration(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["convert", checkpoint, "--out", tmp_path / "model", "--image-size", 32]
    assert run(*arguments, "--set", "sparse_resolution_threshold=16", "--set", "eps=0.5").status == 0
    config = zoo.load(tmp_path / "model").model.config
    assert (config.sparse_resolution_threshold, config.eps) == (16, 0.5)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("warp=9", "no setting"),
        ("eps", "has no value"),
        ("eps=", "has the value ''"),
        ("eps=1,5", "has the value '1,5'"),
        ("eps=x", "eps is 'x': it should be a number"),
        ("ch_mult=2", "ch_mult is 2: it should be a list, such as [2]"),
        ("attn_resolutions=32", "attn_resolutions is 32: it should be a list, such as [32]"),
        ('attn_resolutions=[16, "x"]', "the configuration does not fit"),
        ("num_res_blocks=true", "num_res_blocks is True: it should be a whole number"),
        ("ch=64", "another network"),
    ],
)
def test_settings_that_are_none(run: Run, checkpoint: Path, tmp_path: Path, setting: str, wrong: str) -> None:
    assert wrong in run("convert", checkpoint, "--out", tmp_path / "model", "--set", setting).sentence
    assert not (tmp_path / "model").exists()
