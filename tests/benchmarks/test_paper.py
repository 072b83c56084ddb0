"""`python -m benchmarks.paper`: what is missing, what is run, and what is beside the paper's figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from benchmarks.paper.__main__ import main
from benchmarks.paper.datasets import missing, write_table
from benchmarks.paper.figures import CHURCH, ROWS, STREETS
from sige_mlx.errors import SigeError
from sige_mlx.evaluation import read_cases
from tests.tiny import LABEL_CONFIG, LABEL_SIZE, edited_labels, instances, labels, original, write_tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SIGE_MLX_CACHE", str(folder))
    return folder


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """A folder with one pair of maps as the published ones are."""
    folder = tmp_path / "data" / STREETS
    maps = {"gt": (labels(), instances(), "real"), "synthetic": (edited_labels(), instances(), "7")}
    for kind, (ids, objects, name) in maps.items():
        for part, array in (("labels", ids), ("instances", objects)):
            (folder / f"{kind}_{part}").mkdir(parents=True)
            np.save(folder / f"{kind}_{part}" / f"{name}.npy", array)
    (folder / "images").mkdir()
    Image.fromarray(original(*LABEL_SIZE)).save(folder / "images" / "real.png")
    (folder / "meta.csv").write_text("gt,synthetic\nreal,7\n")
    return tmp_path / "data"


def reproduce(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return ended.exit_code, ended.output


def test_streets_are_judged_both_ways(streets: Path, tmp_path: Path) -> None:
    assert missing(STREETS, streets) == [] and len(missing(CHURCH, streets)) == 3
    write_table(STREETS, streets, tmp_path / "t.csv")
    cases = read_cases(tmp_path / "t.csv")
    there, back = cases[0], cases[1]
    assert (there.name, back.name) == ("7_synthetic", "7_gt") and there.truth is None
    assert np.array_equal(np.asarray(there.original), labels()) and np.array_equal(np.asarray(back.edited), labels())
    assert np.array_equal(np.asarray(back.original), edited_labels()) and Path(str(back.truth)).name == "real.png"
    assert np.array_equal(np.asarray(there.instances), instances())
    (streets / STREETS / "gt_labels" / "real.npy").unlink()
    with pytest.raises(SigeError, match=r"real\.npy is not there, and belongs to the published edits"):
        write_table(STREETS, streets, tmp_path / "t.csv")


def test_churches_have_a_truth_each(tmp_path: Path) -> None:
    for part in ("original", "edited", "gt"):
        (tmp_path / CHURCH / part).mkdir(parents=True)
        Image.fromarray(original()).save(tmp_path / CHURCH / part / "3.png")
    write_table(CHURCH, tmp_path, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == "3" and row["truth"] == str(tmp_path / CHURCH / "gt" / "3.png")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    status, said = reproduce("table1", "--out", tmp_path / "out")
    assert status == 0
    for words in (
        "church256-ddpm-unet.pth of ddpm-church-256, from https://www.cs.cmu.edu/~sige",
        "weights of gaugan-cityscapes-0.19, from nobody: no checkpoint was published",
        "drn-d-105_ms_cityscapes.pth for mIoU, from http://go.yf.io",
        "cityscapes-edit/meta.csv, from gaugan/download_dataset.py",
        "FID (clean) 65.4 -> 65.8",
    ):
        assert words in said
    assert "sige-mlx evaluate" not in said and not (tmp_path / "out").exists()


def test_files_that_are_there_are_converted_first(tmp_path: Path) -> None:
    (tmp_path / "spade.pth").write_bytes(b"")
    _, said = reproduce("table1", "--weights", tmp_path)
    assert f"sige-mlx convert {tmp_path / 'spade.pth'}" in said and "spade.pth of gaugan" not in said


def test_what_can_be_run_is_run(streets: Path, cache: Path, tmp_path: Path) -> None:
    """The rest is told, and does not keep it from being run."""
    write_tiny_model(cache / "gaugan-cityscapes", LABEL_CONFIG)
    out = tmp_path / "out"
    status, said = reproduce("table1", "--data", streets, "--out", out, "--run")
    assert status == 0 and said.count("sige-mlx evaluate") == 2  # in the list, and as it begins
    table = json.loads((out / "gaugan-cityscapes" / "table.json").read_text())
    assert table["pictures"] == 2 and set(table["methods"]) == {"dense", "edit", "edit:fast", "patch", "crop"}
    (line,) = [line for line in said.splitlines() if line.startswith("GauGAN")]
    assert "mIoU 62.4 -> 62.1" in line and f"{table['methods']['edit:fast']['macs'] / 1e9:.1f} GMACs" in line


def test_tables_of_cost_need_nothing(tmp_path: Path) -> None:
    (tmp_path / "info-gaugan-cityscapes.json").write_text(
        json.dumps({"cache_bytes_per_step_by_codec": {"float32": 650_000_000, "int8": 210_000_000}})
    )
    status, said = reproduce("table3", "--out", tmp_path)
    assert status == 0 and said.count("sige-mlx info") == len([row for row in ROWS if row.cache])
    (line,) = [line for line in said.splitlines() if line.startswith("GauGAN")]
    assert "0.8 GB" in line and "0.65 GB" in line and "0.21 GB" in line
    bench = {"macs": 281e9, "dense_ms": 2000.0, "edits": [{"macs": 15e9, "edit_ms": 250.0}]}
    (tmp_path / "bench-gaugan-cityscapes.json").write_text(json.dumps(bench))
    assert "2000 -> 250 ms (8.0x)" in reproduce("table2", "--out", tmp_path)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table4",), "there is no 'table4': it is table1, table2, table3"),
        (("table1", "--data", "nowhere"), "--data is nowhere, which is no folder"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    status, output = reproduce(*arguments)
    assert status == 1 and said in output


def test_what_was_left_may_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "info-gaugan-cityscapes.json").write_text("{")
    assert "remove it, and run that again" in reproduce("table3", "--out", tmp_path)[1]
