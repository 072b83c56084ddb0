"""Folders that several write at once, and what is left of processes that were killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sige_mlx.converters import folder
from sige_mlx.converters.folder import staged_folder
from sige_mlx.converters.swap import exchange
from sige_mlx.errors import SigeError

FILES = ("a", "b")


def write(destination: Path, text: str, force: bool = False, meanwhile: Any = None) -> None:
    with staged_folder(destination, FILES, 1, force) as new:
        (new / "a").write_text(text)
        if meanwhile:
            meanwhile()
        (new / "b").write_text(text)


def content(destination: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in destination.iterdir()}


def whole(text: str) -> dict[str, str]:
    return dict.fromkeys(FILES, text)


EXCHANGE = pytest.mark.parametrize("can_exchange", [True, False])


@pytest.fixture
def no_exchange(can_exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_exchange:
        monkeypatch.setattr(folder, "exchange", lambda *_: False)


@EXCHANGE
@pytest.mark.usefixtures("no_exchange")
@pytest.mark.parametrize("finder", [False, True], ids=["nothing there", "what the Finder leaves"])
def test_of_two_without_force_the_first_to_end_wins(tmp_path: Path, finder: bool) -> None:
    model = tmp_path / "m"
    if finder:
        model.mkdir()
        (model / ".DS_Store").touch()
    with pytest.raises(SigeError, match=f"^{model}: holds a model already; it is only replaced with --force"):
        write(model, "slow", meanwhile=lambda: write(model, "fast"))
    assert content(model) == whole("fast")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@EXCHANGE
@pytest.mark.usefixtures("no_exchange")
def test_of_two_with_force_the_last_to_end_wins(tmp_path: Path) -> None:
    model = tmp_path / "m"
    write(model, "old")
    write(model, "slow", force=True, meanwhile=lambda: write(model, "fast", force=True))
    assert content(model) == whole("slow")
    write(tmp_path / "n", "slow", force=True, meanwhile=lambda: write(tmp_path / "n", "fast"))
    assert content(tmp_path / "n") == whole("slow")
    assert {path.name for path in tmp_path.iterdir()} == {"m", "n"}


@EXCHANGE
@pytest.mark.usefixtures("no_exchange")
def test_what_a_user_puts_there_meanwhile_stays(tmp_path: Path) -> None:
    model = tmp_path / "m"
    write(model, "old")

    def puts() -> None:
        (model / "notes.txt").write_text("mine")

    with pytest.raises(SigeError, match=r"m: holds other files \(notes.txt\)"):
        write(model, "new", force=True, meanwhile=puts)
    assert content(model) == {**whole("old"), "notes.txt": "mine"}
    other = tmp_path / "n"
    with pytest.raises(SigeError, match="n: is a file"):
        write(other, "new", meanwhile=lambda: other.write_text("mine"))
    assert other.read_text() == "mine"


@EXCHANGE
@pytest.mark.usefixtures("no_exchange")
def test_many_at_once(tmp_path: Path) -> None:
    """Of threads that start together exactly one writes; of those with force all do, and what is there is whole."""
    for force in (False, True) * 5:
        won: list[int] = []
        barrier = threading.Barrier(8)

        def one(i: int, force: bool = force, barrier: Any = barrier, won: list[int] = won) -> None:
            barrier.wait()
            try:
                write(tmp_path / f"m{force}", str(i), force)
                won.append(i)
            except SigeError as error:
                assert "holds a model already" in str(error)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == (8 if force else 1)
        assert content(tmp_path / f"m{force}") in [whole(str(i)) for i in won]
        assert [path.name for path in tmp_path.iterdir()] == [f"m{force}"]
        shutil.rmtree(tmp_path / f"m{force}")


def test_two_folders_change_places_or_nothing_is_done(tmp_path: Path) -> None:
    """Nearly every file system can."""
    write(tmp_path / "a", "1")
    write(tmp_path / "b", "2")
    first, second = ("2", "1") if exchange(tmp_path / "a", tmp_path / "b") else ("1", "2")
    assert (content(tmp_path / "a"), content(tmp_path / "b")) == (whole(first), whole(second))
    assert not exchange(tmp_path / "a", tmp_path / "none")
    assert content(tmp_path / "a") == whole(first)


# ---- what is left of the killed

CODE = """
import sys, time
from pathlib import Path
from sige_mlx.converters.folder import staged_folder
with staged_folder(Path(sys.argv[1]), ("a", "b"), 1, True) as new:
    (new / "a").write_text("half")
    print("filling", flush=True)
    time.sleep(60)
"""


def filling(destination: Path) -> subprocess.Popen[str]:
    """A process in the midst of writing a folder."""
    process = subprocess.Popen([sys.executable, "-c", CODE, destination], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "filling\n"
    return process


def test_the_next_one_sweeps_up_after_the_killed_and_nobody_else(tmp_path: Path) -> None:
    write(tmp_path / "m", "old")
    (tmp_path / ".sige-mlx-mine").mkdir()
    (tmp_path / ".sige-mlx-mine" / "notes.txt").write_text("not ours")
    killed, alive = filling(tmp_path / "m"), filling(tmp_path / "n")
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 4
    write(tmp_path / "o", "new")
    scratch = [path for path in tmp_path.iterdir() if (path / "name").exists()]
    assert len(scratch) == 1 and (scratch[0] / "new" / "a").read_text() == "half"  # the living one's
    assert content(tmp_path / "m") == whole("old") and (tmp_path / ".sige-mlx-mine" / "notes.txt").exists()
    alive.kill()
    alive.wait()
    write(tmp_path / "o", "newer", force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"m", "o", ".sige-mlx-mine"}


def test_a_model_that_was_moved_away_comes_back(tmp_path: Path) -> None:
    """Where folders cannot change places a killed process may leave the old one in its scratch folder."""
    scratch = tmp_path / ".sige-mlx-x"
    for name in ("new", "old"):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "a").write_text(name)
    (scratch / "name").write_text("m")
    write(tmp_path / "n", "other")
    assert content(tmp_path / "m") == {"a": "old"} and not scratch.exists()


@pytest.mark.parametrize("name", ["../elsewhere", "", ".", "n", "/tmp/elsewhere", "a\0b"])
def test_a_name_may_be_anything(tmp_path: Path, name: str) -> None:
    scratch = tmp_path / "models" / ".sige-mlx-x"
    (scratch / "old").mkdir(parents=True)
    (scratch / "name").write_text(name)
    write(tmp_path / "models" / "n", "new")
    assert content(tmp_path / "models" / "n") == whole("new")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_what_is_to_be_replaced_may_be_gone_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where folders cannot change places, another writer moves the old one away, perhaps just as it is looked at."""
    model, listdir = tmp_path / "m", os.listdir
    write(model, "old")

    def taken(path: Path) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        model.rename(tmp_path / "moved away")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", taken)
    write(model, "new", force=True)
    assert content(model) == whole("new")


def test_what_cannot_be_put_back_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer is there as soon as the old model, which turns out to be no model, is out of the way."""
    model = tmp_path / "m"
    write(model, "old")
    check = folder._check_replaceable

    def refused(found: Path, *of: Any) -> None:
        if found != model:
            model.mkdir()
            (model / "another's").touch()
            (found / "notes.txt").write_text("mine")
        check(found, *of)

    monkeypatch.setattr(folder, "exchange", lambda *_: False)
    monkeypatch.setattr(folder, "_check_replaceable", refused)
    with pytest.raises(SigeError, match=f"^{model}: others wrote there at the same time; what was there is now (.*)$"):
        write(model, "new", force=True)
    (kept,) = (path for path in tmp_path.iterdir() if path != model)
    assert content(kept) == {**whole("old"), "notes.txt": "mine"}
    assert list(content(model)) == ["another's"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_asked_to_end_cleans_up_itself(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
import signal, sys, time
signal.signal({int(number)}, signal.SIG_DFL)  # under nohup all ignore SIGHUP
import typer
from sige_mlx.cli import app
from pathlib import Path
from sige_mlx.converters.folder import staged_folder
@app.command()
def fill():
    with staged_folder(Path({str(tmp_path / "m")!r}), ("a",), 1, False) as new:
        (new / "a").write_text("half")
        print("filling", flush=True)
        time.sleep(60)
app(["fill"], prog_name="sige-mlx")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "filling\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (
        128 + number,
        f"sige-mlx: ended by {number.name}; nothing half-written is left\n",
    )
    assert not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_so() -> None:
    code = """
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
from sige_mlx.cli import app
@app.command()
def hang():
    os.kill(os.getpid(), signal.SIGHUP)
    print("still here")
app(["hang"], prog_name="sige-mlx")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "still here\n"), os.linesep + ended.stderr
