"""What is printed, wherever it goes: terminals of every encoding, pipes that close, disks that are full; and Ctrl-C
from the first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import names

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sige_mlx"]
FULL = Path("/dev/full")


@pytest.fixture
def edit(model: Path, pictures: Path) -> list[str]:
    """An edit of two steps into `c.png`, run in the folder of the pictures."""
    files = ["--original", "a.png", "--edited", "b.png", "--out", "c.png"]
    return [*COMMAND, "edit", "--model", str(model), *files, "--steps", "2"]


def run(command: list[str], folder: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environment", {})}  # type: ignore[dict-item]
    if "stdout" not in options:
        options["stdout"] = subprocess.PIPE
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, check=False, **options
    )


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    ended = run([*COMMAND, "--version"], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"") and ended.stdout.strip()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_any_encoding_can_be_printed_in(edit: list[str], pictures: Path, encoding: str) -> None:
    os.rename(pictures / "b.png", pictures / "пляж ✓.png")
    command = [part.replace("b.png", "пляж ✓.png").replace("c.png", "çà.png") for part in edit]
    ended = run(command, pictures, environment={"PYTHONIOENCODING": encoding})
    assert (ended.returncode, ended.stderr) == (0, b"")
    said = ended.stdout.decode(encoding)
    assert ("x less arithmetic" if encoding in ("ascii", "cp437") else "× less arithmetic") in said
    assert (pictures / "çà.png").is_file()
    ended = run([*command, "--steps", "0"], pictures, environment={"PYTHONIOENCODING": encoding})
    assert ended.returncode == 1 and ended.stderr.count(b"\n") == 1


def test_the_c_locale_is_no_reason_to_fail(edit: list[str], pictures: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in (edit, [*COMMAND, "info", "--edit", "5"], [*COMMAND, "edit", "--help"], [*COMMAND, "models"]):
        ended = run(command, pictures, environment=plain)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.isascii()


def test_names_that_are_no_text(edit: list[str], pictures: Path) -> None:
    """Linux allows any bytes; a Mac refuses to make such a file."""
    try:
        os.rename(os.fsencode(pictures) + b"/b.png", os.fsencode(pictures) + b"/b\xff.png")
    except OSError:
        pytest.skip("this file system allows text alone")
    odd = [os.fsencode(part).replace(b"b.png", b"b\xff.png").replace(b"c.png", b"c\xff.png") for part in edit]
    ended = run(odd, pictures)  # type: ignore[arg-type]
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (os.fsencode(pictures) + b"/c\xff.png") in [os.fsencode(path) for path in pictures.iterdir()]
    ended = run([*odd, b"--original", b"x\xff.png"], pictures)  # type: ignore[list-item]
    assert (ended.returncode, ended.stderr) == (1, b"sige-mlx: x\\udcff.png: there is no such file\n")


@pytest.mark.skipif(not FULL.exists(), reason="a machine without /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_under_stdout_loses_no_picture(edit: list[str], pictures: Path, more: list[str]) -> None:
    with FULL.open("w") as full:
        ended = run([*edit, *more], pictures, stdout=full)
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"sige-mlx: standard output, which takes no more") and ended.stderr.count(b"\n") == 1
    assert names(pictures) == {"a.png", "b.png", "c.png"}


@pytest.mark.skipif(not FULL.exists(), reason="a machine without /dev/full")
@pytest.mark.parametrize("verb", [["info"], ["--help"], ["edit", "--help"], ["models"], ["--version"]])
def test_a_full_disk_under_other_verbs(verb: list[str], tmp_path: Path) -> None:
    with FULL.open("w") as full:
        ended = run([*COMMAND, *verb], tmp_path, stdout=full)
    assert ended.returncode == 1
    assert b"standard output" in ended.stderr and ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize("verb", [["info", "--layers"], ["info", "--layers", "--json"], ["--help"]])
def test_a_reader_that_has_seen_enough(verb: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = run([*COMMAND, *verb], tmp_path, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_no_stdout_at_all(edit: list[str], pictures: Path) -> None:
    ended = run(["sh", "-c", '"$@" >&-', "sh", *edit], pictures)
    assert b"Traceback" not in ended.stderr
    assert names(pictures) == {"a.png", "b.png", "c.png"}


@pytest.mark.parametrize("module", ["sige_mlx.cli", "typer", "numpy", "mlx.core"])
def test_ctrl_c_while_modules_are_imported(module: str, edit: list[str], pictures: Path) -> None:
    """A module that takes its time stands in for any; the signal comes while it is imported."""
    script = f"""
import signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            print("importing", flush=True)
            time.sleep(20)

sys.meta_path.insert(0, Slow())
from sige_mlx.__main__ import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *edit[3:]],
        cwd=pictures,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "sige-mlx: interrupted; nothing half-written is left\n")
    assert names(pictures) == {"a.png", "b.png"}


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """As a shell has it for what it runs in the background."""
    script = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
import sys
sys.argv = ["sige-mlx", "--version"]
from sige_mlx.__main__ import main
try:
    main()
finally:
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    assert run([sys.executable, "-c", script], tmp_path).returncode == 0
