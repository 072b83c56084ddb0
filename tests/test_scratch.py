"""What is written beside its place, and who removes what killed processes have left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sige_mlx import scratch

CODE = """
import sys, time
from pathlib import Path
from sige_mlx import scratch
getattr(scratch, sys.argv[2])(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""

MAKERS = pytest.mark.parametrize("make", [scratch.new_file, scratch.new_folder])
Make = Callable[[Path], tuple[Path, int]]


def swept(folder: Path) -> None:
    scratch.sweep(folder, "*", lambda path: path.rmdir() if path.is_dir() else path.unlink())


@MAKERS
def test_what_a_process_has_is_left_alone_until_it_ends(tmp_path: Path, make: Make) -> None:
    path, descriptor = make(tmp_path)
    held = subprocess.Popen([sys.executable, "-c", CODE, tmp_path, make.__name__], stdout=subprocess.PIPE, text=True)
    assert held.stdout and held.stdout.readline() == "held\n"
    swept(tmp_path)
    assert path.exists() and len(os.listdir(tmp_path)) == 2
    held.kill()
    held.wait()
    swept(tmp_path)
    assert os.listdir(tmp_path) == [path.name]
    os.close(descriptor)
    swept(tmp_path)
    assert not os.listdir(tmp_path)


@MAKERS
def test_one_that_was_swept_before_it_was_locked_is_made_anew(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = scratch.locked

    def late(path: Path, descriptor: int) -> bool:
        monkeypatch.setattr(scratch, "locked", locked)
        swept(tmp_path)
        assert not path.exists()
        return locked(path, descriptor)

    monkeypatch.setattr(scratch, "locked", late)
    path, descriptor = make(tmp_path)
    assert [path.name] == os.listdir(tmp_path)
    os.close(descriptor)


def test_links_and_pipes_are_none(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".sige-mlx-link.part").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / ".sige-mlx-pipe.part")
    os.close(scratch.new_file(tmp_path)[1])
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / ".sige-mlx-link.part").is_symlink()


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    swept(tmp_path / "none")
