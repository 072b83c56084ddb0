"""`python -m benchmarks.simulated MODULE`: a module that finds the model of Metal in place of a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.simulated", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(path)}
    )


def test_a_module_runs_on_the_model(tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(
        "import sys\n"
        "from benchmarks.openblas import preload_openblas\n"
        "from sige_mlx.engine.gpu.launch import device\n"
        "preload_openblas()\n"
        "print(__name__, sys.argv[1:], type(device()).__name__)\n"
        "sys.exit(3)\n"
    )
    ran = run("asking", "--json", "x", path=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, "__main__ ['--json', 'x'] Simulated\n"), ran.stderr


def test_without_a_module_it_says_how_it_is_used() -> None:
    ran = run()
    assert ran.returncode == 1
    assert ran.stderr.startswith("usage:") and "python -m benchmarks.simulated sige_mlx doctor" in ran.stderr
