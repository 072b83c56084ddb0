"""`python -m benchmarks.tokens`: what it counts, and that it times what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.tokens.__main__ import main
from benchmarks.tokens.count import rows
from benchmarks.tokens.layers import timed
from benchmarks.tokens.run import crop_box, ran
from sige_mlx.editing.boxes import Box
from sige_mlx.tokens.cost import Flux2Sizes

ROOT = Path(__file__).parents[2]


def test_edits_of_klein_take_less_than_crops_that_take_less_than_all() -> None:
    one, five, fifteen = rows([1024], [1, 5, 15], 20, 4)
    assert one.dense / one.kept >= 60 and five.dense / five.kept >= 17 and five.dense / five.new >= 10
    for row in (one, five, fifteen):
        assert row.kept < row.new < row.crop < row.dense
    assert one.crop == five.crop < fifteen.crop


def test_the_command_tells_edits_and_memory() -> None:
    app = typer.Typer()
    app.command()(main)
    told = json.loads(CliRunner().invoke(app, ["--side", "512", "--percent", "5", "--json"]).stdout)
    assert told["edits"][0]["tokens"] == 77 and told["layers"] == []
    assert told["memory"][0]["recording"] == Flux2Sizes().record_nbytes(1024 + 512, 4, "bfloat16")
    shown = CliRunner().invoke(app, ["--side", "512"]).stdout
    assert "crop-and-stitch" in shown and "at the price of one dense run" in shown


def test_a_pair_of_layers_is_timed() -> None:
    pytest.importorskip("mflux")
    lines: list[str] = []
    found = timed(128, (20, 5), 3, 0, lines.append, text=8, heads=1)
    assert [(of.percent, of.text) for of in found] == [(20, 1), (20, 3), (5, 1), (5, 3)]
    assert len(lines) == 4 and lines[-1].startswith("round 2 of 2: dense ")
    for of in found:
        assert of.dense > 0 and of.edit > 0 and of.dense_macs > of.edit_macs
        assert of.share == pytest.approx(of.dense / of.edit * of.edit_macs / of.dense_macs)


@pytest.mark.slow
def test_edits_are_run_in_three_ways() -> None:
    pytest.importorskip("mflux")
    lines: list[str] = []
    found = ran("flux2-tiny", 64, None, lines.append, least=32)
    assert len(found) == len(lines) == 9 and len({(of.edit, of.way) for of in found}) == 9
    for dense, tokens, crop in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert (dense.way, tokens.way, crop.way) == ("dense", "tokens", "crop-and-stitch") and dense.snr is None
        assert tokens.snr is not None and crop.snr is not None and tokens.snr > 0
        assert min(of.seconds for of in (dense, tokens, crop)) > 0 and dense.peak > 0


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        ((10, 20, 20, 30), (0, 0, 64, 64)),
        ((0, 100, 10, 28), (0, 64, 64, 64)),
        ((40, 40, 60, 50), (16, 16, 96, 96)),
        ((0, 0, 128, 128), (0, 0, 128, 128)),
    ],
)
def test_a_crop_is_around_its_edit_and_in_the_picture(mask: tuple[int, ...], box: tuple[int, ...]) -> None:
    inside = np.zeros((128, 128), np.bool_)
    Box(*mask).of(inside)[...] = True
    assert crop_box(inside, 64) == box


def test_the_work_of_a_pair_is_that_of_its_layers_alone() -> None:
    """Of 65 of 4608 rows 70 times less: the pass has embeddings and shifts besides, which 25 layers share."""
    pytest.importorskip("mflux")
    found = timed(64, (5,), 2, 0, text=4, heads=1)[0]
    rows, width, read, computed = 16 + 4, 128, 16 + 4, found.edit_macs
    dense = 2 * (rows * width**2 * 13 + 2 * rows * read * width)
    assert found.dense_macs == dense and computed < dense


def test_layers_are_timed_by_openblas() -> None:
    """MLX's own BLAS would take an hour: the command has to load the other before it imports MLX."""
    code = """
import sys
import benchmarks.tokens.__main__ as command
assert "mlx.core" not in sys.modules
asked = []
command.preload_openblas = lambda: asked.append("mlx.core" in sys.modules)
try:
    command.main(side=[16], percent=[5.0], words=1000, layers=True)
except BaseException as error:
    assert error.exit_code == 1, error
assert asked == [False]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "text tokens reach from 0 to 999: there are 512" in done.stderr
