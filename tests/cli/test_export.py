"""`sige-mlx export`."""

from __future__ import annotations

import subprocess
import sys
import time
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


def test_a_model_that_edits_by_tokens(tmp_path: Path) -> None:
    code, said = run("--model", "flux2-tiny", "--out", str(tmp_path / "a.mlpackage"))
    assert code == 1 and said.startswith("sige-mlx: flux2-tiny edits by tokens, which no package for Core ML does")


@pytest.mark.slow
def test_a_kill_leaves_the_old_package(tmp_path: Path) -> None:
    """Whenever it comes, the old package is there, whole, and a later run leaves nothing of those that were killed."""
    pytest.importorskip("coremltools")
    out = tmp_path / "a.mlpackage"
    command = [sys.executable, "-m", "sige_mlx", "export", "--force", "--functions", "dense,tiles", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for word in ("dense", "tiles"):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any(f"converting {word}" in line for line in process.stderr)
        time.sleep(0.2)
        process.kill()
        process.communicate()
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert len([*tmp_path.iterdir()]) > 1, "nothing was killed while it wrote"
    subprocess.run(command, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mlpackage"]


def test_buckets_that_are_no_numbers(tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    code, said = run("--buckets", "32,many", "--out", str(tmp_path / "a.mlpackage"))
    assert code == 1 and said == "sige-mlx: --buckets 32,many: numbers such as 32,96 would be right\n"
