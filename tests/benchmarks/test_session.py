"""`python -m benchmarks.session`: what it counts, on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.session import __main__ as command
from benchmarks.session.measure import Session
from sige_mlx import zoo
from sige_mlx.engine import Kept
from tests.tiny import write_tiny_model


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.output if result.exit_code else result.stdout


def test_what_is_made_of_the_figures() -> None:
    calls = {"edit": [2.0, 3.0], "commit": [0.1, 0.2], "next": [2.5], "settle": [2.2], "later": [1.9], "undo": [0.1]}
    found = Session("m", 1, 0.01, 8, 2, "int8", Kept(1, 0), 1, 1.0, 60.0, calls, 1, None, None)  # type: ignore[arg-type]
    assert found.cycle == pytest.approx(2.3) and found.settled == pytest.approx(2.0)
    assert found.undo == pytest.approx(0.05) and found.waiting is None


@pytest.mark.parametrize("as_json", [True, False])
def test_a_small_network(as_json: bool, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    options = ("--weights", "own", "--steps", 2, "--rounds", 1, "--edit", 15)
    code, told = run("--model", folder, *options, *(["--json"] if as_json else []))
    assert code == 0, told
    if not as_json:
        assert "edit + commit + edit" in told and "under 1 GiB" in told
        return
    numbers = json.loads(told)
    assert numbers["codec"] == "float32" and numbers["psnr_db"] > 100
    assert numbers["memory_bytes"] > 0 and numbers["disk_bytes"] == 0
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in numbers["seconds"].values())
    assert numbers["change_bytes"] > 0 and numbers["peer_seconds"] is None


def test_a_network_of_one_pass_is_refused() -> None:
    code, told = run("--model", zoo.LABELS, "--weights", "own", "--steps", 1)
    assert code == 1 and "makes a picture in one pass" in told
