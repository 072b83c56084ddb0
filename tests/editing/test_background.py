"""Recording in a thread of its own, and sessions in threads that share an engine."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from tests.tiny import original, painted, tiny_engine

STEPS = 4


class Gate:
    """Lets `Engine.record` begin so many times, and tells when it has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passes: int):
        self.let = threading.Semaphore(passes)
        self.begun = threading.Semaphore(0)
        record = Engine.record

        def gated(engine: Engine, *args: object, **inputs: object) -> object:
            self.begun.release()
            assert self.let.acquire(timeout=30)
            return record(engine, *args, **inputs)

        monkeypatch.setattr(Engine, "record", gated)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_all_steps_are_recorded_in_the_background(device: str) -> None:
    opened = EditSession(tiny_engine(device), original(), steps=STEPS)
    assert opened.record_in_background().wait(60)
    assert opened.recorded == STEPS
    image = opened.edit(painted()).image
    assert np.array_equal(image, EditSession(tiny_engine(device), original(), steps=STEPS).edit(painted()).image)


def test_it_can_be_stopped_and_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, 2)
    opened = EditSession(tiny_engine(), original(), steps=STEPS)
    work = opened.record_in_background()
    for _ in range(3):
        assert gate.begun.acquire(timeout=30)
    stopping = threading.Thread(target=work.stop)  # it waits for the third step, which has begun
    stopping.start()
    while work.running:
        pass
    gate.let.release()
    stopping.join(30)
    assert (opened.recorded, work.running, work.wait()) == (3, False, False)
    gate.let.release()
    resumed = opened.record_in_background()
    assert resumed is not work and resumed.wait(30)
    assert opened.recorded == STEPS


def test_an_edit_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the step that is being recorded, and records the others itself."""
    gate = Gate(monkeypatch, 0)
    opened = EditSession(tiny_engine(), original(), steps=STEPS)
    work = opened.record_in_background()
    assert gate.begun.acquire(timeout=30)
    by: list[str] = []
    add = opened._recording.add
    monkeypatch.setattr(
        opened._recording, "add", lambda *args: (by.append(threading.current_thread().name), add(*args))[1]
    )
    with ThreadPoolExecutor(1, thread_name_prefix="edit") as pool:
        edit = pool.submit(opened.edit, painted())
        while opened._access.idle.is_set():
            pass
        gate.let.release(2 * STEPS)  # also for the session that it is compared with
        image = edit.result(60).image
    assert work.wait(30)
    assert by == ["edit_0"] * (STEPS - 1)
    assert np.array_equal(image, EditSession(tiny_engine(), original(), steps=STEPS).edit(painted()).image)


def test_what_commits_carried_over_is_recorded_anew_in_the_background() -> None:
    opened = EditSession(tiny_engine(), original(), steps=STEPS)
    opened.edit(painted())
    opened.commit()
    assert opened.record_in_background().wait(60) and opened.stale == STEPS
    assert opened.record_in_background(refresh=True).wait(60) and opened.stale == 0


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = EditSession(tiny_engine(), original(), steps=STEPS)

    def fail(*_: object, **__: object) -> None:
        raise SigeError("no more memory")

    monkeypatch.setattr(Engine, "record", fail)
    with pytest.raises(SigeError, match="no more memory"):
        opened.record_in_background().wait(30)


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "opened = None"])
def test_it_ends_with_the_process(end: str) -> None:
    """In the middle of a step, with what the process has."""
    script = f"""
import time
from sige_mlx.editing import EditSession
from tests.tiny import original, tiny_engine
opened = EditSession(tiny_engine(), original(), steps=500)
opened.record_in_background()
while opened.recorded < 2:
    time.sleep(0.001)
{end}
"""
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0


def test_it_ends_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, 1)
    engine = tiny_engine()
    opened = EditSession(engine, original(), steps=STEPS)
    work = opened.record_in_background()
    assert gate.begun.acquire(timeout=30) and gate.begun.acquire(timeout=30)
    del opened
    gate.let.release()
    assert not work.wait(30) and not work.running
    gc.collect()
    assert engine.recordings.nbytes == 0


def test_sessions_in_threads_share_an_engine() -> None:
    engine = tiny_engine()

    def edited(seed: int) -> list[np.ndarray]:
        opened = EditSession(engine, original(), steps=STEPS, seed=seed)
        images = [opened.edit(painted()).image]
        opened.commit()
        second = opened.original.copy()
        second[20:24, 4:8] = 0
        images.append(opened.edit(second).image)
        opened.undo()
        return [*images, opened.edit(painted()).image]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(edited, range(6)))
    for seed, images in enumerate(together):
        for one, other in zip(images, edited(seed), strict=True):
            assert np.array_equal(one, other)
