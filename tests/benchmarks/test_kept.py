"""`python -m benchmarks.kept`: what it counts, and what commits promise with trained weights."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.kept import __main__ as command
from benchmarks.kept.row import drift


def measured(*arguments: str) -> dict[str, object]:
    app = typer.Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, ["--json", *arguments])
    assert result.exit_code == 0, result.output
    numbers: dict[str, object] = json.loads(result.stdout)
    return numbers


def test_what_is_made_of_the_figures() -> None:
    assert drift([50.0, 44.0, 43.0, 41.0]) == -5.0
    assert drift([50.0, 10.0, 51.0]) == 1.0


def test_two_edits() -> None:
    numbers = measured("--edits", "2", "--steps", "1")
    assert len(numbers["kept"]) == 2 and numbers["kept"][0] == numbers["idle"][0]  # type: ignore[arg-type, index]
    assert numbers["refreshed"] == numbers["fresh"]


@pytest.mark.slow
def test_commits_stay_near_the_dense_pass() -> None:
    numbers = measured()
    assert numbers["median"] >= 42 and numbers["least"] >= 40  # type: ignore[operator]
    assert numbers["refreshed"] == numbers["fresh"]
