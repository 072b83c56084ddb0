"""Tests that passed are not run again."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SUITE = """
import os
import pytest

def test_passes(): pass

@pytest.mark.parametrize("n", range(2))
def test_numbers(n): assert n or "MENDED" in os.environ

@pytest.mark.skipif("MENDED" not in os.environ, reason="there is none")
def test_needs_something(): pass

@pytest.fixture
def litter():
    yield
    assert "MENDED" in os.environ

def test_cleans_up_behind_it(litter): pass

def test_goes_elsewhere(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)
"""


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Status and last line of a run of `SUITE`, without its time."""
    (folder / "test_tests.py").write_text(SUITE)
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.once"]\n')
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--rootdir", folder]
    command += ["--once", os.path.relpath(folder / "new" / "passed", ROOT), *arguments, folder]
    path = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, env=path | environment)
    return done.returncode, done.stdout.splitlines()[-1].rpartition(" in ")[0]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_what_failed_or_was_skipped_runs_again(tmp_path: Path, workers: list[str]) -> None:
    assert run(tmp_path, *workers) == (1, "1 failed, 4 passed, 1 skipped, 1 error")
    assert len((tmp_path / "new" / "passed").read_text().splitlines()) == 3
    assert run(tmp_path, *workers, MENDED="1") == (0, "3 passed" if workers else "3 passed, 3 deselected")
    assert run(tmp_path, *workers, MENDED="1") == (0, "no tests ran" if workers else "6 deselected")


@pytest.mark.parametrize("target", ["test", "slow"])
def test_make_goes_on_from_a_file_that_lies_outside_the_checkout(tmp_path: Path, target: str) -> None:
    """Until pytest has read its configuration, it takes such a file, in an argument of its own, for tests to run."""
    passed = tmp_path / "passed"
    passed.touch()
    for stamp in (".python", ".package", ".test"):
        (tmp_path / stamp).touch()
    settings = [f"VENV={tmp_path}", f"ONCE={passed}", "SKIPS=public", "PROFILE=--hypothesis-profile=thorough"]
    make = ["make", "--dry-run", "--no-print-directory", target, *settings]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True)
    (command,) = done.stdout.splitlines()
    python, *arguments = shlex.split(command)
    assert python == f"{tmp_path}/bin/python"
    done = subprocess.run([sys.executable, *arguments, "--markers"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_test_runs_where_no_file_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", __file__], cwd=ROOT, capture_output=True, text=True
    )
    assert "5 tests collected" in done.stdout
