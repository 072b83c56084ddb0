"""`sige-mlx export`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sige_mlx.cli import app


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *args])
    return result.exit_code, result.stderr


def test_without_coremltools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("coremltools", "sige_mlx.converters.coreml"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "coremltools", None)
    code, said = run("--out", str(tmp_path / "a.mlpackage"))
    assert code == 1 and said == "sige-mlx: export needs coremltools: pip install 'sige-mlx[coreml]'\n"


def test_another_format(tmp_path: Path) -> None:
    code, said = run("--format", "onnx", "--out", str(tmp_path / "a.onnx"))
    assert code == 1 and said.startswith("sige-mlx: format 'onnx' is none")


def test_buckets_that_are_no_numbers(tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    code, said = run("--buckets", "32,many", "--out", str(tmp_path / "a.mlpackage"))
    assert code == 1 and said == "sige-mlx: --buckets 32,many: numbers such as 32,96 would be right\n"
