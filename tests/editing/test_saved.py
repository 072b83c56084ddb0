"""Sessions in files."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sige_mlx.editing import EditSession, LabelSession
from sige_mlx.editing.container import Container, write
from sige_mlx.editing.saved import PURPOSE
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from tests.editing.test_history import KINDS, Kind, kind, now, probe, stroke
from tests.tiny import LABEL_CONFIG, edited_labels, label_engine, labels, original, painted, tiny_engine

__all__ = ["kind"]


def reopened(kind: Kind, session: Any, folder: Path) -> Any:
    session.save(folder / "s")
    return type(session).open(kind.engine(), folder / "s")


def test_an_opened_session_goes_on(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = kind.open(kind.engine(), kind.original())
    states = [now(opened)]
    for at in (8, 10), (2, 20):
        opened.edit(stroke(kind, opened, *at))
        opened.commit()
        states.append(now(opened))
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    again = reopened(kind, opened, tmp_path)
    assert np.array_equal(probe(kind, again), probe(kind, opened))
    assert (again.recorded, again.stale, again.undoable) == (opened.steps, opened.steps, 2)
    for state in 1, 0:
        again.undo()
        assert np.array_equal(now(again), states[state])
    once_more = reopened(kind, again, tmp_path)
    once_more.redo()
    assert np.array_equal(now(once_more), states[1])


def test_a_history_that_may_keep_less_than_there_is(kind: Kind, tmp_path: Path) -> None:
    opened = kind.open(kind.engine(), kind.original())
    for at in (8, 10), (2, 20):
        opened.edit(stroke(kind, opened, *at))
        opened.commit()
    opened.save(tmp_path / "s")
    again = type(opened).open(kind.engine(), tmp_path / "s", history=opened.memory().history * 3 // 4)
    assert again.undoable == 1 and again.memory().history <= again._history.budget
    again.undo()
    with pytest.raises(SigeError, match="1 older ones were forgotten"):
        again.undo()


def test_a_session_that_is_recorded_in_part(tmp_path: Path) -> None:
    opened = EditSession(tiny_engine(), original(), steps=4, seed=3)

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.record(interrupt)
    again = reopened(KINDS["strokes"], opened, tmp_path)
    assert again.recorded == 2
    assert np.array_equal(again.edit(painted()).image, opened.edit(painted()).image)


def test_another_networks_or_policys_is_refused(tmp_path: Path) -> None:
    EditSession(tiny_engine(), original(), steps=1).save(tmp_path / "s")
    with pytest.raises(SigeError, match="belongs to another network than this one, or to another policy"):
        EditSession.open(tiny_engine(tiles_from=16), tmp_path / "s")
    with pytest.raises(SigeError, match="is the session of another kind of network, EditSession"):
        LabelSession.open(KINDS["labels"].engine(), tmp_path / "s")


def test_a_network_without_instances_opens_its_sessions(tmp_path: Path) -> None:
    engine = label_engine(config=dataclasses.replace(LABEL_CONFIG, no_instance=True))
    opened = LabelSession(engine, labels())
    expected = opened.edit(edited_labels()).image
    opened.commit()
    opened.save(tmp_path / "s")
    again = LabelSession.open(engine, tmp_path / "s")
    again.undo()
    assert np.array_equal(again.edit(edited_labels()).image, expected)


def changed(path: Path, arrays: Callable[[dict[str, Any]], Any], told: Callable[[dict[str, Any]], Any]) -> None:
    """Writes a session's file anew, with other arrays, or telling something else."""
    file = Container(path, PURPOSE)
    held = {name: file.array(name).copy() for name in file._header}
    arrays(held)
    told(file.told)
    write(path, PURPOSE, held, file.told)


def smaller(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda arrays: arrays.update({name: np.ascontiguousarray(arrays[name][:2])})


def of_unknown_class(arrays: dict[str, Any]) -> None:
    arrays["undo.0.labels"] = arrays["undo.0.labels"] + 100


def of_no_colour(level: float) -> Callable[[dict[str, Any]], Any]:
    return lambda told: told["settings"]["palette"].__setitem__(3, [level, 0, 0])


def nothing(_: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize(
    ("which", "arrays", "told"),
    [
        ("labels", smaller("undo.0.labels"), nothing),
        ("labels", smaller("undo.0.instances"), nothing),
        ("labels", of_unknown_class, nothing),
        ("strokes", lambda arrays: [smaller(f"undo.0.{name}")(arrays) for name in ("pixels", "rgb")], nothing),
        *(("labels", nothing, of_no_colour(level)) for level in (300, -1, 1e308, 2**63, float("nan"))),
        ("strokes", nothing, lambda told: told["windows"][0].update(steps=[])),
        ("strokes", nothing, lambda told: told["windows"][0]["steps"].update({"0": 3})),
    ],
)
def test_what_makes_no_sense_is_told_as_it_is_opened(
    which: str, arrays: Callable[[dict[str, Any]], Any], told: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    """Files whose checksums are right, but which no session has written."""
    kind = KINDS[which]
    opened = kind.open(kind.engine(), kind.original())
    opened.edit(stroke(kind, opened, 8, 10))
    opened.commit()
    opened.save(tmp_path / "s")
    changed(tmp_path / "s", arrays, told)
    with pytest.raises(SigeError, match=str(tmp_path / "s")):
        type(opened).open(kind.engine(), tmp_path / "s")


@pytest.mark.parametrize(
    "told",
    [
        lambda told: told["windows"][0]["steps"]["0"].update(codec=["float32"]),
        lambda told: told["windows"][0]["steps"]["0"].update(arrays=10**30),
        lambda told: told["windows"][0].update(steps={n: told["windows"][0]["steps"]["0"] for n in ("-2", "9", "a")}),
    ],
)
def test_steps_that_make_no_sense_are_recorded_anew(
    told: Callable[[dict[str, Any]], Any], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    opened = EditSession(tiny_engine(), original(), steps=2)
    expected = opened.edit(painted()).image
    opened.save(tmp_path / "s")
    changed(tmp_path / "s", nothing, told)
    again = EditSession.open(tiny_engine(), tmp_path / "s")
    assert np.array_equal(again.edit(painted()).image, expected)


def test_commits_leave_the_file_as_it_is(tmp_path: Path) -> None:
    opened = EditSession(tiny_engine(), original(), steps=1)
    opened.record()
    again = reopened(KINDS["strokes"], opened, tmp_path)
    before = (tmp_path / "s").read_bytes()
    again.edit(painted())
    again.commit()
    assert (tmp_path / "s").read_bytes() == before


def test_damaged_files_are_told_or_recorded_anew(tmp_path: Path) -> None:
    """Whatever bit is turned, and wherever the file ends: a sentence, or the same picture as before."""
    opened = EditSession(tiny_engine(), original(), steps=1)
    expected = opened.edit(painted()).image
    opened.save(tmp_path / "s")
    whole = (tmp_path / "s").read_bytes()
    rng, told = np.random.default_rng(0), 0
    head = int.from_bytes(whole[:8], "little")
    for at in [*rng.integers(0, head + 8, 60), *rng.integers(head, len(whole), 30)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "s").write_bytes(damaged[: at if at % 3 == 0 else None])
        try:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("warnings.warn", lambda *_, **__: None)
                image = EditSession.open(tiny_engine(), tmp_path / "s").edit(painted()).image
        except SigeError:
            told += 1
        else:
            assert np.array_equal(image, expected)
    assert told > 30


@pytest.mark.slow
def test_killed_while_it_saves_there_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    script = f"""
from tests.tiny import *
from sige_mlx.editing import EditSession
opened = EditSession(tiny_engine(), original(), steps=2)
opened.record()
print(flush=True)
while True:
    opened.save({str(tmp_path / "s")!r})
"""
    for wait in np.random.default_rng(0).random(10) / 5:
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=os.getcwd())
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1 + wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert EditSession.open(tiny_engine(), tmp_path / "s").recorded == 2
