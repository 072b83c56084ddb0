"""`sige-mlx export` and `sige-mlx doctor --coreml`, from a model to a package that is checked."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("coremltools")

from sige_mlx.cli import coreml_check
from sige_mlx.converters.coreml import interpreter, saved
from sige_mlx.converters.coreml.calls import Calls
from sige_mlx.masks import difference_mask, dilate
from sige_mlx.samplers import alphas_cumprod, ddim_step, linear_betas, q_sample, timesteps
from tests import tiny
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tiny_model(tmp_path_factory.mktemp("model") / "tiny", large="followed", large_from=0.05)


@pytest.fixture(scope="module")
def package(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from sige_mlx.cli import app

    folder = tmp_path_factory.mktemp("package")
    out, numbers = folder / "Tiny.mlpackage", folder / "numbers"
    given = ["--model", model, "--out", out, "--numbers", numbers, "--buckets", "8,24", "--precision", "float32"]
    assert CliRunner().invoke(app, ["export", *map(str, given)]).exit_code == 0
    return out


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs the package here")
def test_a_package_is_interpreted_beside_the_engine(package: Path, model: Path, run: Run) -> None:
    ended = run("doctor", "--coreml", str(package), "--model", str(model), "--json")
    assert ended.status == 0 and ended.json["passed"]
    names = [check["name"] for check in ended.json["checks"]]
    assert {"dense, interpreted", "record, interpreted", "edit_8 of a corner, interpreted"} <= {*names}
    assert any(name.startswith("edit_24 of 1") for name in names)
    assert ended.json["not_checked_here"] == [*coreml_check.UNCHECKED]


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs the package here")
def test_a_function_that_computes_something_else_fails(
    package: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(interpreter.OPS, "silu", lambda a: np.maximum(a["x"], 0))
    ended = run("doctor", "--coreml", str(package), "--model", str(model))
    assert ended.status == 1 and "FAILED  dense, interpreted: differs by" in ended.out


def test_other_weights_are_told(package: Path, tmp_path: Path, run: Run) -> None:
    other = tiny.write_tiny_model(tmp_path / "other", tiny.PD_CONFIG)
    ended = run("doctor", "--coreml", str(package), "--model", str(other))
    assert ended.status == 1 and "was exported of other weights than those of" in ended.err


def test_an_app_comes_to_the_engines_numbers(package: Path) -> None:
    """What the example in Swift does, step by step, by the interpreter: mask, lists, recordings, edits, DDIM."""
    folder, held = package.parent / "numbers", saved.read(package)
    told = json.loads((folder / "numbers.json").read_text())
    h, w = told["size"]

    def planes(name: str) -> np.ndarray:
        return np.fromfile(folder / f"{name}.f32", "<f4").reshape(1, -1, h, w)

    original, painted, noise = map(planes, ("original", "painted", "noise"))
    edit = held.about["edit"]
    pair = (np.ascontiguousarray(x[0].transpose(1, 2, 0)) for x in (original, painted))
    mask = dilate(difference_mask(*pair, edit["eps"]), edit["dilation"])
    assert np.array_equal(mask, planes("mask")[0, 0] > 0)
    takes = {name: {of: kind.shape for of, kind in f.inputs.items()} for name, f in held.functions.items()}
    calls = Calls(lambda name, given: interpreter.run(held.functions[name], given).outputs, takes, held.about)
    lists, schedule = calls.lists(mask), alphas_cumprod(linear_betas())
    steps = timesteps(told["steps"], told["strength"])
    x = q_sample(painted, steps[0], noise, schedule)
    for t, following in zip(steps, [*steps[1:], -1], strict=True):
        before, at = q_sample(original, t, noise, schedule), np.array([t], np.float32)
        x = np.where(mask, x, before)
        recorded = calls.run("record", {"image": before, "timestep": at})
        _, found = calls({"image": x, "timestep": at}, recorded, lists)
        x = ddim_step(x, found, t, following, schedule)
    x, expected = np.where(mask, x, original), planes("result")
    assert math.sqrt(((x - expected) ** 2).mean() / (expected**2).mean()) <= 1e-4
    assert np.abs(expected - original)[0, :, mask].max() > 0.1


def test_numbers_are_of_denoisers(tmp_path: Path, run: Run) -> None:
    model = tiny.write_tiny_model(tmp_path / "pd", tiny.PD_CONFIG)
    options = ("--functions", "tiles", "--numbers", str(tmp_path / "numbers"), "--out", str(tmp_path / "a.mlpackage"))
    ended = run("export", "--model", str(model), *options)
    assert ended.status == 1 and "--numbers are of networks that denoise pictures by timesteps" in ended.err
    assert not (tmp_path / "a.mlpackage").exists()
