"""The list of skips by reason, and what fails a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ALLOWED, RUNS, allowed

ROOT = Path(__file__).parents[1]

SUITE = {
    "test_tests.py": """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no frozen cases: none")
@pytest.mark.parametrize("n", range(3))
def test_marked(n): pass

def test_calls(): pytest.skip("it rains")
""",
    "test_module.py": """
import pytest
pytest.importorskip("torch_of_nobody", reason="could not import 'torch': it lacks")
""",
}


def run(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit status and lines of a run of `SUITE`."""
    for name, text in SUITE.items():
        (folder / name).write_text(text)
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.skips"]\n')
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--rootdir", folder]
    done = subprocess.run([*map(str, command), *arguments, str(folder)], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_they_are_counted_by_reason(tmp_path: Path, workers: tuple[str, ...]) -> None:
    status, lines = run(tmp_path, *workers)
    assert status == 0
    at = next(i for i, line in enumerate(lines) if "skipped, by reason" in line)
    assert lines[at + 1 : at + 4] == [
        "3  no frozen cases: none",
        "1  could not import 'torch': it lacks",
        "1  it rains",
    ]
    assert "1 passed, 5 skipped" in lines[-1]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_a_reason_that_is_not_allowed_fails_the_run(tmp_path: Path, workers: tuple[str, ...]) -> None:
    status, lines = run(tmp_path, *workers, "--skips", "bare")
    assert status == 1
    assert [line for line in lines if "NOT ALLOWED" in line] == [
        "1  it rains  NOT ALLOWED in the run 'bare': see tests/skips.py"
    ]
    assert "1 passed, 5 skipped" in lines[-1]
    assert run(tmp_path, *workers, "--skips", "bare", "--deselect", "test_tests.py::test_calls")[0] == 0
    status, lines = run(tmp_path, *workers, "--skips", "full", "--deselect", "test_tests.py::test_calls")
    assert status == 1 and sum("NOT ALLOWED" in line for line in lines) == 2


def test_nothing_is_skipped_in_the_full_run() -> None:
    assert not any("full" in runs for runs in ALLOWED.values())
    assert {run for runs in ALLOWED.values() for run in runs} <= {*RUNS}


def test_a_reason_is_allowed_where_the_list_says() -> None:
    missing = "could not import 'torch': No module named 'torch'"
    assert allowed(missing, "bare") and not allowed(missing, "full")
    assert not allowed("could not import 'numpy': No module named 'numpy'", "bare")
    assert not allowed("it rains, and there are no frozen cases", "bare")
