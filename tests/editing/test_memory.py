"""What sessions say that they keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sige_mlx.editing import EditSession
from tests.tiny import original, painted, tiny_engine

STEPS = 3


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_it_adds_up(device: str, tmp_path: Path) -> None:
    engine = tiny_engine(device)
    opened = EditSession(engine, original(), steps=STEPS)
    before = opened.memory()
    assert (before.recording, before.disk, before.history) == (0, 0, 0) and before.weights > 0
    opened.edit(painted())
    recorded = opened.memory()
    assert recorded.recording == engine.recordings.nbytes == STEPS * engine.recordings.step_nbytes()
    opened.commit()
    committed = opened.memory()
    assert committed.recording == recorded.recording and committed.history > 0
    assert committed.total == committed.recording + committed.history + committed.weights
    opened.save(tmp_path / "s")
    again = EditSession.open(tiny_engine(device), tmp_path / "s")
    assert (again.memory().recording, again.memory().disk) == (0, recorded.recording)
    again.record()
    assert (again.memory().recording, again.memory().disk) == (recorded.recording, 0)


@pytest.mark.slow
def test_the_process_takes_what_it_says() -> None:
    """By what recording ten steps of the model in the package adds to its resident memory, once the engine is warm."""
    script = """
from pathlib import Path
from sige_mlx import zoo
from sige_mlx.editing import EditSession
def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])
engine = zoo.load(zoo.DEFAULT).engine(threads=1)
picture = zoo.ASSETS / "demo" / "original.png"
EditSession(engine, picture, steps=1).record()
opened = EditSession(engine, picture, steps=10)
before = resident()
opened.record()
print(resident() - before, opened.memory().recording)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the resident memory of a process is read from /proc")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    resident, said = map(int, ended.stdout.split())
    assert resident == pytest.approx(said, rel=0.05)
