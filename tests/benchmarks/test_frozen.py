"""`python -m benchmarks.frozen` on folders that it has never seen."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.frozen.report import Report, as_json, print_table
from benchmarks.frozen.run import run
from sige_mlx.errors import SigeError
from tests.benchmarks.frozen_folder import (
    a_label_pass,
    a_pass,
    a_trajectory,
    corner,
    write_label_network,
    write_network,
)
from tests.reference import case_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def one_pass() -> dict[str, Any]:
    return a_pass(corner())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network, no case yet."""
    write_network(tmp_path, "wee")
    return tmp_path


def write(folder: Path, name: str, arrays: dict[str, Any]) -> None:
    np.savez(folder / "cases" / f"{name}.npz", **arrays)


def without(arrays: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arrays.items() if name not in names}


def only(report: Report) -> Any:
    (outcome,) = report.outcomes
    return outcome


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_good_case_passes_and_is_measured(folder: Path, one_pass: dict[str, Any], device: str) -> None:
    write(folder, "wee-corner", one_pass)
    report = run(folder, device)
    outcome = only(report)
    assert report.within_bounds and not outcome.problems
    assert outcome.dense_error < 1e-5 and 0 < outcome.edit_error < outcome.peer_error
    assert outcome.edited == pytest.approx(63 / 1024)
    assert outcome.edit_ms > 0 and outcome.dense_ms > 0 and 0 < outcome.macs < outcome.dense_macs
    assert outcome.peer_macs == 1e6


@pytest.mark.slow
@pytest.mark.usefixtures("model_of_metal")
def test_the_gpu_is_held_to_the_bounds_in_float32(folder: Path, one_pass: dict[str, Any]) -> None:
    write(folder, "wee-corner", one_pass)
    report = run(folder, "gpu")
    assert report.within_bounds, as_json(report)
    assert report.device == "gpu" and only(report).dense_error < 1e-5


def test_the_peers_figures_are_those_of_the_file_where_it_has_them(folder: Path, one_pass: dict[str, Any]) -> None:
    figures = {"peer_error": np.float64(0.5), "peer_error_in_mask": np.float64(0.25)}
    write(folder, "wee-corner", {**one_pass, **figures})
    assert (only(run(folder, "cpu")).peer_error, only(run(folder, "cpu")).peer_error_in_mask) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dense_original": 1.001}, "the dense error 0.001 is above 0.0001"),
        ({"peer_error": 0.5}, "the edit error .* times the peer's"),
        ({"peer_error_in_mask": 0.5}, "the edit error in the mask .* times the peer's"),
    ],
)
def test_what_is_out_of_bounds_is_named(
    folder: Path, one_pass: dict[str, Any], changes: dict[str, float], problem: str
) -> None:
    write(folder, "wee-corner", one_pass)
    good = only(run(folder, "cpu"))
    true = {"dense_original": one_pass["dense_original"], "peer_error": good.edit_error}
    true["peer_error_in_mask"] = good.edit_error_in_mask
    write(folder, "wee-corner", {**one_pass, **{k: np.asarray(true[k] * factor) for k, factor in changes.items()}})
    report = run(folder, "cpu")
    assert not report.within_bounds
    (said,) = only(report).problems
    assert re.search(problem, said)


def test_a_peer_that_is_not_there_sets_no_bound(folder: Path, one_pass: dict[str, Any]) -> None:
    write(folder, "wee-corner", without(one_pass, "peer_edited", "peer_macs", "original", "edited", "noise"))
    report = run(folder, "cpu")
    assert report.within_bounds and math.isnan(only(report).peer_error)
    assert as_json(report)["cases"][0]["peer_error"] is None


def test_an_empty_mask_gives_the_recorded_output(folder: Path) -> None:
    arrays = a_pass(np.zeros((32, 32), np.bool_))
    write(folder, "wee-empty", {**arrays, "peer_error": np.float64(0), "peer_error_in_mask": np.nan})
    report = run(folder, "cpu")
    assert report.within_bounds and only(report).macs == 0 and math.isnan(only(report).edit_error_in_mask)


def test_a_full_mask_passes(folder: Path) -> None:
    write(folder, "wee-full", a_pass(np.ones((32, 32), np.bool_)))
    assert run(folder, "cpu").within_bounds


def test_masks_come_in_many_shapes(folder: Path, one_pass: dict[str, Any]) -> None:
    mask = one_pass["mask"]
    for i, shaped in enumerate((mask[None], mask[..., None][None], mask.astype(np.uint8), mask.astype(np.float32))):
        write(folder, f"wee-{i}", {**one_pass, "mask": shaped})
    report = run(folder, "cpu")
    assert report.within_bounds and len({o.edit_error for o in report.outcomes}) == 1


def test_batches_run(folder: Path, one_pass: dict[str, Any]) -> None:
    write(folder, "wee-one", one_pass)
    write(folder, "wee-two", a_pass(corner(), batch=2))
    assert [o.case for o in run(folder, "cpu").outcomes] == ["wee-one", "wee-two"]
    assert run(folder, "cpu").within_bounds


def test_a_trajectory_is_run_step_by_step(folder: Path) -> None:
    arrays = a_trajectory(corner())
    write(folder, "wee-trajectory", arrays)
    outcome = only(run(folder, "cpu"))
    assert outcome.steps == 3 and outcome.dense_error < 1e-5 and not outcome.problems
    assert 0 < outcome.edit_error < 1
    outside = np.broadcast_to(~arrays["mask"][None, ..., None], arrays["dense"].shape)
    assert (arrays["dense"] == arrays["original"])[outside].all()


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_label_maps_are_encoded_and_run(folder: Path, device: str) -> None:
    write_label_network(folder, "town")
    write(folder, "town-tree", a_label_pass(folder, "town"))
    outcome = only(run(folder, device))
    assert not outcome.problems and (outcome.family, outcome.steps) == ("spade", 1)
    assert outcome.dense_error < 1e-5 and 0 < outcome.edit_error < outcome.peer_error
    assert 0 < outcome.macs < outcome.dense_macs


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        ({"labels": np.zeros((32, 60), np.uint8)}, "labels is (32, 60) of uint8: integers (32, 64) are wanted"),
        ({"instances_edited": np.zeros((32, 64), np.float32)}, "instances_edited is (32, 64) of float32"),
        ({"labels_edited": np.full((32, 64), 35)}, "the label map has the class 35"),
        ({"instances": None}, "the array instances is missing"),
    ],
)
def test_label_maps_that_do_not_fit(folder: Path, maps: dict[str, Any], sentence: str) -> None:
    write_label_network(folder, "town")
    changed = {**a_label_pass(folder, "town"), **maps}
    write(folder, "town-bad", {name: value for name, value in changed.items() if value is not None})
    write(folder, "town-good", a_label_pass(folder, "town"))
    report = run(folder, "cpu")
    assert only(report).case == "town-good" and sentence in report.broken["town-bad"]


def test_label_maps_are_for_networks_that_read_them(folder: Path, one_pass: dict[str, Any]) -> None:
    write_label_network(folder, "town")
    write(folder, "wee-town", a_label_pass(folder, "town"))
    write(folder, "town-wee", one_pass)
    report = run(folder, "cpu")
    assert "the network reads images: they must agree" in report.broken["wee-town"]
    assert "this engine was made for (1, 32, 64, 36)" in report.broken["town-wee"]


def test_networks_are_told_apart_by_the_longest_name(folder: Path, one_pass: dict[str, Any]) -> None:
    write_network(folder, "wee-wide")
    (folder / "manifests" / "wee.json").write_text('{"fc.weight": [1, 1]}')
    write(folder, "wee-wide-corner", one_pass)
    write(folder, "wee-corner", one_pass)
    report = run(folder, "cpu")
    assert only(report).case == "wee-wide-corner" and report.within_bounds
    assert list(report.skipped) == ["wee-corner"] and "no" in report.skipped["wee-corner"]


def test_settings_may_be_missing(folder: Path, one_pass: dict[str, Any]) -> None:
    """The tensors tell the network, the model's own threshold serves."""
    write(folder, "wee-corner", without(one_pass, "peer_edited"))
    (folder / "manifests" / "wee.config.json").unlink()
    assert run(folder, "cpu").within_bounds


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"mask": None}, "the array mask is missing"),
        ({"timestep": None}, "the array timestep is missing"),
        ({"timestep": np.zeros(2)}, "one number is wanted"),
        ({"peer_error": np.zeros(2)}, "one number is wanted"),
        ({"mask": np.zeros((16, 32), np.bool_)}, "mask is .16, 32.: .32, 32. is wanted"),
        ({"dense_edited": np.zeros((1, 32, 30, 3), np.float32)}, "agree in size"),
        ({"x_original": np.zeros((32, 32, 3), np.float32)}, "floats .B, H, W, C. are wanted"),
        ({"x_original": np.zeros((1, 32, 32, 3), np.uint8)}, "floats .B, H, W, C. are wanted"),
    ],
)
def test_a_malformed_case_is_one_sentence_and_the_others_run(
    folder: Path, one_pass: dict[str, Any], arrays: dict[str, Any], sentence: str
) -> None:
    write(folder, "wee-bad", {k: v for k, v in {**one_pass, **arrays}.items() if v is not None})
    write(folder, "wee-good", one_pass)
    report = run(folder, "cpu")
    assert only(report).case == "wee-good" and not report.within_bounds
    assert re.search(sentence, report.broken["wee-bad"])


@pytest.mark.parametrize("timesteps", [[], [100, 100], [0, 50], [50, -1], [5000, 0]])
def test_a_trajectory_must_fall_within_the_schedule(folder: Path, timesteps: list[int]) -> None:
    write(folder, "wee-trajectory", {**a_trajectory(corner()), "timesteps": np.array(timesteps, np.int64)})
    assert "timestep" in run(folder, "cpu").broken["wee-trajectory"]


def test_images_of_another_size_than_the_network_takes_are_said(folder: Path, one_pass: dict[str, Any]) -> None:
    half = {k: v[:, :16] if getattr(v, "ndim", 0) == 4 else v for k, v in one_pass.items()}
    write(folder, "wee-half", {**half, "mask": one_pass["mask"][:16]})
    assert "x is (1, 16, 32, 3): this engine was made for (1, 32, 32, 3)" in run(folder, "cpu").broken["wee-half"]


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("manifests/wee.json", "{", "cannot be read as JSON"),
        ("manifests/wee.json", "[]", "holds no JSON object"),
        (
            "manifests/wee.config.json",
            '{"model": {"ch": "32"}, "image_size": 32}',
            "ch is '32': it should be a whole number",
        ),
        ("manifests/wee.config.json", '{"model": {"ch": 64}, "image_size": 32}', "other tensors than"),
        ("manifests/wee.config.json", '{"image_size": 33}', "image size 33 is no multiple of 4"),
        ("cases/wee-corner.npz", "no archive", "cannot be read as an .npz file"),
    ],
)
def test_a_malformed_file_is_one_sentence(
    folder: Path, one_pass: dict[str, Any], file: str, content: str, sentence: str
) -> None:
    write(folder, "wee-corner", one_pass)
    (folder / file).write_text(content)
    report = run(folder, "cpu")
    assert not report.within_bounds and sentence in report.broken["wee-corner"]


def test_a_case_without_a_manifest_is_said(folder: Path, one_pass: dict[str, Any]) -> None:
    write(folder, "other-corner", one_pass)
    assert "no manifest" in run(folder, "cpu").broken["other-corner"]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigeError, match="has no folder manifests/"):
        run(tmp_path, "cpu")
    write_network(tmp_path, "wee")
    with pytest.raises(SigeError, match="has no case"):
        run(tmp_path, "cpu")
    with pytest.raises(SigeError, match="device 'abacus'"):
        run(tmp_path, "abacus")
    (tmp_path / "weights.py").write_text("")
    with pytest.raises(SigeError, match="has no function make"):
        run(tmp_path, "cpu")
    (tmp_path / "weights.py").unlink()
    with pytest.raises(SigeError, match=r"has no weights\.py"):
        run(tmp_path, "cpu")


def test_the_table_has_every_case(folder: Path, one_pass: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "manifests" / "odd.json").write_text('{"fc.weight": [1, 1]}')
    for name in ("wee-corner", "odd-corner", "lost-corner"):
        write(folder, name, one_pass)
    print_table(run(folder, "cpu"))
    printed = capsys.readouterr().out
    assert all(said in printed for said in ("wee-corner", "odd-corner skipped:", "lost-corner could not be run:"))


def test_the_command_ends_with_0_only_when_all_is_within_bounds(folder: Path, one_pass: dict[str, Any]) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "benchmarks.frozen", str(folder), *arguments]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    write(folder, "wee-corner", one_pass)
    good = command("--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["cases"][0]["within_bounds"] is True
    write(folder, "wee-corner", {**one_pass, "dense_edited": one_pass["dense_edited"] * 1.01})
    bad = command()
    assert bad.returncode == 1 and "the dense error 0.0099 is above" in bad.stdout
    (folder / "weights.py").unlink()
    refused = command()
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "no weights.py" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_the_real_cases_are_within_bounds(reference: Path, tmp_path: Path, device: str) -> None:
    """Every case of our networks on the native engine; the small ones on the slow oracle."""
    for part in ("manifests", "weights.py"):
        (tmp_path / part).symlink_to(reference / part)
    (tmp_path / "cases").mkdir()
    networks = ("ddpm", "gaugan", "gan-compression")
    for name in (
        name for network in networks for name in case_names(f"{network}-{'' if device == 'cpu' else 'small'}")
    ):
        (tmp_path / "cases" / f"{name}.npz").symlink_to(reference / "cases" / f"{name}.npz")
    report = run(tmp_path, device)
    assert report.within_bounds, as_json(report)
    assert len(report.outcomes) == len(list((tmp_path / "cases").iterdir())) and not report.skipped
