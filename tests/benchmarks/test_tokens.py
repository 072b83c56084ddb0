"""`python -m benchmarks.tokens`: what it counts, and that it times what it says."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.tokens.__main__ import main
from benchmarks.tokens.count import rows
from benchmarks.tokens.layers import timed
from sige_mlx.tokens.cost import Flux2Sizes


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
    assert told["edits"][0]["tokens"] == 77 and told["layers"] is None
    assert told["memory"][0]["recording"] == Flux2Sizes().record_nbytes(1024 + 512, 4, "bfloat16")
    shown = CliRunner().invoke(app, ["--side", "512"]).stdout
    assert "crop-and-stitch" in shown and "at the price of one dense run" in shown


def test_a_pair_of_layers_is_timed() -> None:
    pytest.importorskip("mflux")
    found = timed(128, 5, 1, text=8, heads=1)
    assert found.dense > 0 and found.edit > 0 and found.dense_macs > 3 * found.edit_macs
    assert found.share == pytest.approx(found.dense / found.edit * found.edit_macs / found.dense_macs)
