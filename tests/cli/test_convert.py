import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sige_mlx import zoo
from tests.cli.conftest import Run
from tests.converters.networks import SMALL, ddpm
from tests.converters.writer import Name, ordered, state_dict, write_zip


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
    church = zoo.network("ddpm-church-256").model.config
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
    (tmp_path / "noise.safetensors").write_bytes(b"\0" * 99)
    assert "it is a damaged safetensors file, or none" in run("convert", tmp_path / "noise.safetensors", *out).sentence
    assert "the name of the checkpoint is empty" in run("convert", "", *out).sentence
    assert "the image size is 0: it must be 1 or more" in run("convert", checkpoint, *out, "--image-size", 0).sentence
    assert "float64" in run("convert", checkpoint, *out, "--dtype", "float64").sentence
    assert "gan" in run("convert", checkpoint, *out, "--family", "gan").sentence
    assert not (tmp_path / "model").exists()


def test_a_converted_model_is_not_converted_again(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert run("convert", checkpoint, "--out", model).status == 0
    for folder in (model, zoo.ASSETS / zoo.LABELS):
        said = run("convert", folder / "model.safetensors", "--out", tmp_path / "again").sentence
        assert said.endswith(f"model.safetensors: is converted already; use it with --model {folder}")
    (model / "config.json").unlink()
    said = run("convert", model, "--out", tmp_path / "again").sentence
    assert said.endswith("is a converted model's model.safetensors, without the config.json that belongs beside it")


def test_a_name_obeys_no_terminal(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    """Neither in what is said nor in tables, where square brackets are none of the table's own."""
    named = tmp_path / "a\x1b[31m\n[red]b"
    for said in (run("convert", checkpoint, "--out", named).out, run("info", "--model", named).out):
        assert r"a\x1b[31m\n[red]b" in said and "\x1b" not in said


def test_weights_of_a_type_that_nobody_reads(run: Run, model: Path, tmp_path: Path) -> None:
    integers = tmp_path / "integers"
    integers.mkdir()
    (integers / "config.json").write_text((model / "config.json").read_text())
    described = json.loads((model / "config.json").read_text())
    network = zoo.network(model).model
    assert described["family"] == "ddpm"
    from sige_mlx.nn.module import parameters

    arrays = {name: np.zeros(p.shape, np.int32) for name, p in parameters(network).items()}
    save_file(arrays, integers / "model.safetensors")
    with pytest.raises(ValueError, match="is I32 where F32 or F16 would be right"):
        zoo.load(integers)


def test_settings_go_into_the_configuration(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["convert", checkpoint, "--out", tmp_path / "model", "--image-size", 32]
    assert run(*arguments, "--set", "tiles_from=16", "--set", "eps=0.5").status == 0
    edit = zoo.load(tmp_path / "model").edit
    assert (edit.tiles_from, edit.eps) == (16, 0.5)


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
        ('attn_resolutions=[16, "x"]', "attn_resolutions is [16, 'x']: it should be a list, such as [16]"),
        ("num_res_blocks=true", "num_res_blocks is True: it should be a whole number"),
        ("ch=64", "another network"),
        ("eps=NaN", "eps is nan: it must be from 0 to 2"),
        ("eps=-1", "eps is -1: it must be from 0 to 2"),
        ("dilation=-1", "the dilation is -1: it must be 0 or more"),
        ("tiles_from=0", "the threshold of planes is 0: it must be 1 or more"),
        pytest.param("x=" + "[" * 50000, "NAME=[NUMBER, …] would be right", id="nested"),
    ],
)
def test_settings_that_are_none(run: Run, checkpoint: Path, tmp_path: Path, setting: str, wrong: str) -> None:
    assert wrong in run("convert", checkpoint, "--out", tmp_path / "model", "--set", setting).sentence
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("weights", "taken"), [("ema", 1), ("raw", 0), ("model", 0), ("ema.shadow", 1)])
def test_which_weights(run: Run, tmp_path: Path, weights: str, taken: int) -> None:
    several = [ddpm(seed=seed) for seed in (0, 1)]
    model, storages = state_dict(several[0])
    average, more = state_dict(several[1], first=len(storages))
    path = write_zip(tmp_path / "net.pth", {"model": model, "ema": {"shadow": average}}, {**storages, **more})
    ended = run("convert", path, "--out", tmp_path / "m", "--weights", weights)
    assert ended.status == 0, ended
    found = load_file(tmp_path / "m" / "model.safetensors")["conv_in.bias"]
    np.testing.assert_array_equal(found, several[taken]["conv_in.bias"])
    said = "Note: they are averaged over training; --weights raw takes the model's own"
    assert (said in ended.out) == (weights == "ema")
    assert "--weights takes ema, raw or one of the places 'model', 'ema.shadow'" in (
        run("convert", path, "--out", tmp_path / "n", "--weights", "best").sentence
    )


def test_what_it_says_to_use_is_what_was_written(run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--out", "ddpm-church-256"], ["--out", zoo.DEFAULT], ["--out", tmp_path / "m"]):
        ended = run("convert", checkpoint, "--image-size", 32, *options)
        used = ended.out.splitlines()[-1].removeprefix("Use it with --model ")
        assert zoo.load(used).model.config == SMALL
    checkpoint.rename(tmp_path / f"{zoo.DEFAULT}.safetensors")
    said = run("convert", f"{zoo.DEFAULT}.safetensors").sentence
    assert said.endswith(f"would be called {zoo.DEFAULT}, which is the name of another model: give --out FOLDER")


def test_a_cache_that_cannot_be_written(run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").touch()
    for cache, wrong in (
        (tmp_path / "file", f"{tmp_path}/file is a file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        monkeypatch.setenv("SIGE_MLX_CACHE", str(cache))
        assert f"cannot be written: {wrong}" in run("convert", checkpoint, "--image-size", 32).sentence
    monkeypatch.setenv("SIGE_MLX_CACHE", "~nobody-of-this-name/x")
    assert "it cannot be told whose home that is" in run("convert", checkpoint, "--image-size", 32).sentence


def test_paths_from_home(run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """As a shell leaves them in `--out=~/m`, and for every verb."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run("convert", f"~/{checkpoint.name}", "--out=~/m").status == 0
    assert (tmp_path / "m" / "model.safetensors").exists() and not (tmp_path / "~").exists()
    assert run("info", "-m", "~/m", "--graph=~/m.txt").status == 0
    assert (tmp_path / "m.txt").exists()


def test_what_files_say_is_not_obeyed_by_the_terminal(run: Run, tmp_path: Path) -> None:
    """Names in files and of files, in errors and in notes."""
    escape = "\x1b[31m"
    path = tmp_path / f"{escape}.pth"
    others = {f"{escape}{i}": 3 for i in range(3)}
    save_file({f"{escape}.weight" * 200: np.zeros((3, 3), np.float32)}, tmp_path / "a.safetensors")
    model, storages = state_dict(ddpm())
    for content in (
        {"epoch": 3, **others},
        {f"{escape}.net": model, "d": ordered({"x": model})},
        [Name("a", "b"), model],
    ):
        write_zip(path, content, storages)
        ended = run("convert", path, "--out", tmp_path / "m", "--force")
        assert escape not in ended.out + ended.err and "Traceback" not in ended.err
    said = run("convert", tmp_path / "a.safetensors", "--out", tmp_path / "m").sentence
    assert escape not in said and len(said) < 2200
    for path in (tmp_path / f"{escape}.pth", tmp_path / escape):
        assert escape not in run("convert", path / "none").sentence
