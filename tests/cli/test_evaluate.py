"""`sige-mlx evaluate`, in this process and in several."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.evaluation.lines import PATTERN
from sige_mlx.evaluation.table import without_times
from tests.cli.conftest import Run
from tests.evaluation.folders import write_pictures
from tests.tiny import original

COUNT = 5


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "edits", COUNT)


def arguments(model: Path, edits: Path, out: Path) -> list[str]:
    return ["evaluate", str(edits), "--model", str(model), "--steps", "1", "--rows", "2", "--out", str(out)]


def table(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "table.json").read_text())
    return without_times(found)


def lines(out: Path) -> int:
    """Results that are in a folder."""
    return sum(max(path.read_bytes().count(b"\n") - 1, 0) for path in out.glob(PATTERN))


class Launched:
    """Processes that share out the edits over the ring backend, as `mlx.launch` starts them; each has a folder of its
    own, as machines do."""

    def __init__(self, command: Sequence[str], outs: Sequence[Path], tmp_path: Path):
        with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in outs]
        hosts = [[f"127.0.0.1:{server.getsockname()[1]}"] for server in with_ports]
        for server in with_ports:
            server.close()
        (tmp_path / "hosts.json").write_text(json.dumps(hosts))
        self.processes = []
        for rank, out in enumerate(outs):
            env = {**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(tmp_path / "hosts.json")}
            run = [sys.executable, "-m", "sige_mlx", *command[:-1], str(out)]
            self.processes.append(subprocess.Popen(run, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def ended(self) -> list[tuple[int, str]]:
        """Status and what was said on stderr, of each."""
        said = [process.communicate(timeout=120)[1].decode() for process in self.processes]
        return [(process.returncode, text) for process, text in zip(self.processes, said, strict=True)]


def test_table_lines_pictures_and_sheet(run: Run, model: Path, edits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run(*arguments(model, edits, out))
    assert ended.status == 0
    for words in ("5 edits, of 5.9% of the pixels", "Against the dense pass", "Against the true picture", "than crop"):
        assert words in ended.out
    assert "FID needs pt_inception-2015-12-05-6726825d.pth" in ended.err
    assert lines(out) == COUNT and len(list((out / "pictures").iterdir())) == 4 * COUNT
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width == 6 * (192 + 20) - 20 + 80
    told = run(*arguments(model, edits, out), "--json").json
    assert told["pictures"] == COUNT and told["methods"]["crop"]["macs"] > 0 and len(told["notes"]) == 3
    assert without_times(told)["methods"] == table(out)["methods"]


def test_made_up_edits_of_the_package(run: Run, tmp_path: Path) -> None:
    common = ["evaluate", "--steps", 1, "--methods", "edit", "--rows", 0, "--json", "--out", tmp_path / "out"]
    few = run(*common, "--synthesise", 1).json
    more = run(*common, "--synthesise", 2).json  # goes on
    assert (few["pictures"], more["pictures"]) == (1, 2) and lines(tmp_path / "out") == 2
    assert not (tmp_path / "out" / "sheet.png").exists()
    assert "cases: " in run(*common, "--synthesise", 2, "--seed", 1).sentence


def test_what_made_up_maps_show_is_seen_by_the_package_itself(run: Run, tmp_path: Path) -> None:
    common = ["evaluate", "-m", zoo.LABELS, "--synthesise", 1, "--methods", "edit", "--rows", 0]
    ended = run(*common, "--out", tmp_path / "out")
    assert ended.status == 0 and "Of all pictures together" in ended.out
    assert "mIoU (Blue Marble), edited" in ended.out and "FID (clean)" not in ended.out
    methods = table(tmp_path / "out")["methods"]
    for method in ("dense", "edit"):
        of = methods[method]["mIoU (Blue Marble)"]["whole"]
        assert 0 < of["low"] == of["mean"] == of["high"] <= 1  # of one picture
        assert f"{of['mean']:.1%}" in ended.out
    assert "mIoU" not in ended.err


def test_a_file_that_cannot_be_read_is_told_once(run: Run, translator: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.fromarray(original(40)).save(photographs / "a.png")
    (photographs / "b.png").write_bytes((photographs / "a.png").read_bytes()[:80])
    common = ["evaluate", photographs, "-m", translator, "--methods", "edit", "--rows", 0, "--out", tmp_path / "out"]
    ended = run(*common, "--synthesise", 12)
    judged = lines(tmp_path / "out")
    assert ended.status == 0 and 0 < judged < 11
    assert ended.err.count("b.png") == 1 and f"not judged, {12 - judged} of the edits: " in ended.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", ","], "--methods names none"),
        (["--methods", "edit,best"], "the method 'best' is none of dense, edit, edit:QUALITY, patch, crop"),
        (["--sampler", "pd"], "pd"),
        (["--out", "{edits}/original/0.png"], "0.png"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, model: Path, edits: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    given = [part.format(edits=edits) for part in more]
    assert said in run(*arguments(model, edits, tmp_path / "out"), *given).sentence


def test_edits_must_come_from_somewhere(run: Run, model: Path, translator: Path, edits: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "out"]
    assert "there are no edits" in run("evaluate", *out).sentence
    assert "has no pictures in the package" in run("evaluate", "-m", model, "--synthesise", 1, *out).sentence
    assert "--steps is for diffusion models" in run("evaluate", edits, "-m", translator, "--steps", 2, *out).sentence


@pytest.mark.parametrize("name", ["table.json", "sheet.png", "pictures/00001-edit.png"])
def test_what_no_run_has_written_is_not_replaced(run: Run, model: Path, edits: Path, tmp_path: Path, name: str) -> None:
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("of somebody else")
    said = f"{foreign} is there already, and is not of a run that could go on"
    assert said in run(*arguments(model, edits, tmp_path / "out")).sentence
    assert foreign.read_text() == "of somebody else"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [foreign]


def test_a_picture_that_was_removed_is_made_anew(run: Run, model: Path, edits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*arguments(model, edits, out))
    before, removed = table(out), out / "pictures" / "00001-edit.png"
    content = removed.read_bytes()
    removed.unlink()
    assert run(*arguments(model, edits, out)).status == 0
    assert removed.read_bytes() == content and table(out) == before
    assert lines(out) == COUNT + 1  # the new line is behind those that there were
    assert run(*arguments(model, edits, out)).status == 0 and lines(out) == COUNT + 1


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_machines_find_the_same(run: Run, model: Path, edits: Path, tmp_path: Path, ranks: int) -> None:
    alone, outs = tmp_path / "alone", [tmp_path / str(rank) for rank in range(ranks)]
    run(*arguments(model, edits, alone))
    ended = Launched(arguments(model, edits, alone), outs, tmp_path).ended()
    assert [status for status, _ in ended] == [0] * ranks, ended
    assert table(outs[0]) == table(alone)
    assert sum(map(lines, outs)) == COUNT and all(lines(out) for out in outs)
    assert not (outs[1] / "table.json").exists()
    with Image.open(outs[0] / "sheet.png") as sheet, Image.open(alone / "sheet.png") as expected:
        assert np.array_equal(np.asarray(sheet), np.asarray(expected))  # pictures of other machines are on it


@pytest.mark.slow
def test_a_machine_that_dies_costs_what_it_has_not_finished(run: Run, model: Path, tmp_path: Path) -> None:
    edits = write_pictures(tmp_path / "many", 24)
    alone, outs = tmp_path / "alone", [tmp_path / "0", tmp_path / "1"]
    launched = Launched(arguments(model, edits, alone), outs, tmp_path)
    while not (lines(outs[0]) and lines(outs[1])):
        assert launched.processes[1].poll() is None
        time.sleep(0.01)
    launched.processes[1].kill()
    other = launched.processes[0]
    while other.poll() is None and lines(outs[0]) < 12:
        time.sleep(0.1)
    try:
        said = other.communicate(timeout=20)[1].decode()
        assert other.returncode == 1 and "another machine of the run is gone" in said
    except subprocess.TimeoutExpired:  # MLX's ring may wait for ever for a process that is gone: its user ends it
        other.kill()
        other.communicate()
    assert lines(outs[0]) == 12 and lines(outs[1]) < 12  # the other has finished its share
    before = [(out / "lines-0.jsonl").read_bytes() for out in outs[:1]]
    assert [status for status, _ in Launched(arguments(model, edits, alone), outs, tmp_path).ended()] == [0, 0]
    assert (outs[0] / "lines-0.jsonl").read_bytes().startswith(before[0])
    assert lines(outs[0]) + lines(outs[1]) == 24
    run(*arguments(model, edits, alone))
    assert table(outs[0]) == table(alone)


def test_machines_that_were_given_different_things(model: Path, edits: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "0", tmp_path / "1"]
    launched = Launched(arguments(model, edits, tmp_path), outs, tmp_path)
    launched.processes[1].kill()
    launched.processes[1].wait()
    other = write_pictures(tmp_path / "others", 2)
    env = {**os.environ, "MLX_RANK": "1", "MLX_HOSTFILE": str(tmp_path / "hosts.json")}
    run = [sys.executable, "-m", "sige_mlx", *arguments(model, other, outs[1])]
    launched.processes[1] = subprocess.Popen(run, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for status, said in launched.ended():
        assert status == 1 and "machine 1 was given other settings, files or weights than machine 0" in said
