"""Processes that share the file of a session."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sige_mlx.editing.destination import write_whole
from sige_mlx.editing.turns import begun, turn
from sige_mlx.errors import SigeError

CODE = """
import sys, time
from sige_mlx.editing.destination import write_whole
from sige_mlx.editing.turns import turn
with turn(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
    write_whole(sys.argv[1], lambda file: file.write(b"theirs"))
"""


def holder(path: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", CODE, path], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("before", [None, b"", b"ours"])
def test_the_second_waits_and_finds_what_the_first_has_written(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "s"
    if before is not None:
        path.write_bytes(before)
    process = holder(path)
    with pytest.raises(SigeError, match="is held by another process, which edits it: try again"), turn(path, 0.2):
        pass
    assert path.read_bytes() == (before or b"")
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    with turn(path):
        assert path.read_bytes() == b"theirs"
    assert process.wait() == 0 and os.listdir(tmp_path) == ["s"]


def test_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    process = holder(tmp_path / "s")
    assert not begun(tmp_path / "s")
    process.kill()
    process.wait()
    start = time.monotonic()
    with turn(tmp_path / "s"):
        assert not begun(tmp_path / "s")
        write_whole(tmp_path / "s", lambda file: file.write(b"ours"))
    assert time.monotonic() - start < 5 and begun(tmp_path / "s")


def test_the_place_goes_where_nothing_was_saved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("s")
    with turn(tmp_path / "link"):
        assert os.listdir(tmp_path / "..") and (tmp_path / "s").exists()
    assert os.listdir(tmp_path) == ["link"]
    (tmp_path / "s").write_bytes(b"")
    with turn(tmp_path / "s"):
        pass
    assert (tmp_path / "s").exists()  # it was there before


def test_links_lead_to_a_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("s")
    assert not begun(tmp_path / "link")
    with turn(tmp_path / "link"):
        write_whole(tmp_path / "link", lambda file: file.write(b"ours"))
    assert begun(tmp_path / "link") and (tmp_path / "s").read_bytes() == b"ours"
    (tmp_path / "loop").symlink_to("loop")
    assert begun(tmp_path / "loop")


def test_where_there_can_be_no_file(tmp_path: Path) -> None:
    with pytest.raises(SigeError, match="cannot be written: No such file or directory"), turn(tmp_path / "a" / "s"):
        pass
    assert begun(tmp_path)
