"""`python -m tests.kills`: kills what writes files at random moments, and looks at what is left.

A process does the work and gets SIGKILL after a random part of the time that the work takes. Then what is there must be
whole, the old or the new. Whoever writes other files adds a `Victim`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from sige_mlx import scratch, zoo
from sige_mlx.cli import app
from sige_mlx.converters import convert
from sige_mlx.editing import EditSession, open_image, save_image
from sige_mlx.editing.turns import begun
from sige_mlx.evaluation import Judge, Ranks, Settings, Subject, evaluate, read_cases
from sige_mlx.evaluation.lines import read_lines
from tests.converters.networks import ddpm
from tests.converters.writer import save
from tests.evaluation.folders import write_pictures
from tests.tiny import original, painted, tiny_engine, write_tiny_model

_PROCESSES = get_context("forkserver")  # they begin with what takes long to import
_PROCESSES.set_forkserver_preload(["sige_mlx.converters", "sige_mlx.editing", "sige_mlx.cli", "tests.tiny"])

STEPS = 3
"""Of the sessions."""

WRITING = 0.02
"""Seconds that it takes about to write a file."""

OLD, NEW, NONE = "the old one", "the new one", "nothing yet"


@dataclass(frozen=True)
class Victim:
    """`prepare` makes what is there before, `act` writes, `check` says which of the two is there and raises for
    anything else. `act` must end with the new one if nobody kills it, whatever was left before."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    check: Callable[[Path], str]


def kill(name: str, folder: Path, times: int, seed: int = 0) -> Counter[str]:
    """How often each was there after so many kills, half of them while a file is written; the last run is not killed,
    and nothing hidden may be left then."""
    rng, victim = Random(seed), VICTIMS[name]
    victim.prepare(folder)
    status, files, seconds = _run(name, folder)
    assert status == 0 and victim.check(folder) == NEW
    found: Counter[str] = Counter()
    for _ in range(times):
        victim.prepare(folder)
        moment = (
            (0, rng.uniform(0, seconds)) if rng.random() < 0.5 else (rng.randint(1, files), rng.uniform(0, WRITING))
        )
        status, _, _ = _run(name, folder, *moment)
        found[f"{'killed' if status else 'done'}, {victim.check(folder)}"] += 1
    if victim.check(folder) == NEW:
        victim.prepare(folder)
    assert _run(name, folder)[0] == 0 and victim.check(folder) == NEW
    left = [*folder.rglob(f"{scratch.PREFIX}*")]
    assert not left, f"left by processes that are gone: {left}"
    return found


def _run(name: str, folder: Path, files: int = 0, seconds: float | None = None) -> tuple[int, int, float]:
    """Lets a process of its own act, and kills it some time after it began to write so many files; gives its status,
    how many it began, and how long it took."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(target=_act, args=(name, folder, theirs))
    child.start()
    theirs.close()
    told = 0
    with contextlib.suppress(EOFError):  # it ends when it is ready
        ours.recv()
        start = time.monotonic()
        while told < files:
            ours.recv()
            told += 1
        child.join(seconds)
        child.kill()
        while True:
            ours.recv()
            told += 1
    child.join()
    assert child.exitcode is not None
    return child.exitcode, told, time.monotonic() - start


def _act(name: str, folder: Path, tell: Connection) -> None:
    locked = scratch.locked

    def told(path: Path, descriptor: int, wait: bool = True) -> bool:
        tell.send("a file")
        return locked(path, descriptor, wait)

    scratch.locked = told
    with contextlib.redirect_stdout(io.StringIO()):
        tell.send("began")
        VICTIMS[name].act(folder)


# ---- a conversion into a new folder, and in the place of a model


def _model(weights: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"{weights}.pth"
        return path if path.exists() else save(path, ddpm(seed=weights), "zip")

    return make


def _converted(folder: Path, force: bool) -> None:
    convert(_model(2)(folder), folder / "models" / "model", force=force)


def _prepare_model(folder: Path) -> None:
    _model(2)(folder)
    convert(_model(1)(folder), folder / "models" / "model", force=True)


def _prepare_none(folder: Path) -> None:
    _model(2)(folder)
    for name in (zoo.CONFIG_FILE, zoo.WEIGHTS_FILE):
        (folder / "models" / "model" / name).unlink(missing_ok=True)


def _check_model(folder: Path) -> str:
    model = folder / "models" / "model"
    if not model.exists() or not os.listdir(model):
        return NONE
    name = "conv_in.weight"
    loaded = np.asarray(zoo.load(model).load(name))
    for weights, which in ((1, OLD), (2, NEW)):
        if np.array_equal(loaded, np.moveaxis(ddpm(seed=weights)[name], 1, -1)):
            return which
    raise AssertionError("the model is neither the old nor the new one")


# ---- an edit in the place of an older result


def _prepare_result(folder: Path) -> None:
    Image.fromarray(original()).save(folder / "c.png")


def _edit(folder: Path) -> None:
    session = EditSession(tiny_engine(), original(), steps=2)
    save_image(session.edit(painted()).picture, folder / "c.png")


def _check_result(folder: Path) -> str:
    with Image.open(folder / "c.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    if np.array_equal(pixels, original()):
        return OLD
    changed = (pixels != original()).any(-1)
    assert 0 < changed.mean() < 1, "neither the old picture nor an edit of it"
    return NEW


# ---- sessions: begun, committed in and undone in by the command, and saved again and again


def _command(*arguments: object) -> None:
    """Runs the command in this process."""
    try:
        app([str(argument) for argument in arguments], prog_name="sige-mlx")
    except SystemExit as ended:
        assert not ended.code, arguments


def _edit_session(folder: Path, *options: str) -> None:
    files = ("--edited", folder / "b.png", "--out", folder / "c.png", "--session", folder / "s.sige")
    _command("edit", *files, *options)


def _begin(folder: Path) -> None:
    model, steps = ("--model", str(folder / "tiny")), ("--steps", str(STEPS))
    _edit_session(folder, "--original", str(folder / "a.png"), *model, *steps)


def _commit(folder: Path) -> None:
    _edit_session(folder, "--commit")


def _undo(folder: Path) -> None:
    _command("session", "undo", folder / "s.sige")


def _prepare_no_session(folder: Path) -> None:
    if not (folder / "tiny").exists():
        write_tiny_model(folder / "tiny")
        Image.fromarray(original()).save(folder / "a.png")
        Image.fromarray(painted()).save(folder / "b.png")
    for name in ("s.sige", "c.png"):
        (folder / name).unlink(missing_ok=True)


def _prepare_session(*deeds: Callable[[Path], None]) -> Callable[[Path], None]:
    """What has the session there that these deeds lead to, done once."""

    def prepare(folder: Path) -> None:
        before = folder / "before.sige"
        _prepare_no_session(folder)
        if not before.exists():
            with contextlib.redirect_stdout(io.StringIO()):
                for deed in deeds:
                    deed(folder)
            shutil.copy(folder / "s.sige", before)
        shutil.copy(before, folder / "s.sige")

    return prepare


def _opened(folder: Path) -> EditSession | None:
    """The session, all of it read; None where there is nothing but its place."""
    if not begun(folder / "s.sige"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = EditSession.open(zoo.load(folder / "tiny").engine(), folder / "s.sige")
        session._recording.take_all()
    assert np.array_equal(session.original, original()) == (session.undoable == 0)
    return session


def _check_begun(folder: Path) -> str:
    session = _opened(folder)
    assert session is None or session.recorded == STEPS
    if (folder / "c.png").exists():
        with Image.open(folder / "c.png") as image:
            image.load()
    return NONE if session is None else NEW


def _check_moved(before: int) -> Callable[[Path], str]:
    """What tells the two by how many commits can be undone."""

    def check(folder: Path) -> str:
        session = _opened(folder)
        assert session and session.recorded == STEPS
        assert session.undoable + session.redoable >= before
        return OLD if session.undoable == before else NEW

    return check


def _save(folder: Path) -> None:
    engine = zoo.load(folder / "tiny").engine()
    old, new = (EditSession(engine, original(), steps=STEPS) for _ in range(2))
    new.record()
    for _ in range(5):
        old.save(folder / "s.sige")
        new.save(folder / "s.sige")


def _check_saved(folder: Path) -> str:
    session = _opened(folder)
    assert session and session.recorded in (0, STEPS)
    return NEW if session.recorded else OLD


# ---- results of many edits, line by line


def _judge(folder: Path) -> Judge:
    edits = folder / "edits"
    if not edits.exists():
        write_pictures(folder / "part")
        (folder / "part").rename(edits)
    model = folder / "tiny"
    if not model.exists():
        write_tiny_model(folder / "tiny-part").rename(model)
    subject = Subject(zoo.load(model), ("edit",), Settings(sampling={"steps": 1}))
    return Judge(subject, read_cases(edits), folder / "judged")


def _prepare_results(folder: Path) -> None:
    _judge(folder)
    shutil.rmtree(folder / "judged", ignore_errors=True)


def _check_results(folder: Path) -> str:
    judge = _judge(folder)
    found = read_lines(judge.out, judge.settings)
    for case in found:  # whoever has a line has its pictures
        open_image(judge.picture_file(case, "edit"))
    return NEW if len(found) == len(judge.cases) else NONE


VICTIMS = {
    "convert": Victim(_prepare_none, lambda folder: _converted(folder, False), _check_model),
    "replace": Victim(_prepare_model, lambda folder: _converted(folder, True), _check_model),
    "evaluate": Victim(_prepare_results, lambda folder: evaluate(_judge(folder), Ranks()), _check_results),
    "edit": Victim(_prepare_result, _edit, _check_result),
    "record": Victim(_prepare_no_session, _begin, _check_begun),
    "save": Victim(_prepare_session(_begin), _save, _check_saved),
    "commit": Victim(_prepare_session(_begin), _commit, _check_moved(0)),
    "undo": Victim(_prepare_session(_begin, _commit, _commit), _undo, _check_moved(2)),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(VICTIMS)}; without one, all")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.names or VICTIMS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            found = kill(name, Path(folder), given.times, given.seed)
        told = ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
        print(f"{name}: {given.times} kills in {time.monotonic() - start:.0f} s: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
