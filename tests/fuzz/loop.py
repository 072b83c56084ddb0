"""Runs a harness over its corpus and over inputs drawn from it, and counts."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.harness import Harness, corpus
from tests.fuzz.limits import TooLong, within

FOUND = Path(__file__).parents[2] / "build" / "fuzz"
"""Where inputs go that something is wrong with; `NAME.current` is the one that is being read, also if that kills."""

SETTLED = 0.2
"""Share of a run after which the process should have all the memory that it needs."""

LEAK = 32
"""Megabytes by which it may still grow."""

_STEP = 5000  # runs between two looks at memory
_LARGEST = 1 << 16  # bytes of an input that is changed further
_KEPT = 200  # inputs that are changed further, besides seeds and corpus


@dataclass
class Outcome:
    """What a run came to: `found` are the files of inputs that failed, each with the last line of what was raised."""

    executions: int
    seconds: float
    peak: int
    grown: int
    found: list[tuple[Path, str]]

    def __str__(self) -> str:
        rate = self.executions / max(self.seconds, 1e-9)
        return (
            f"{self.executions} executions in {self.seconds:.1f} s of a processor ({rate:.0f}/s), peak {self.peak} MB,"
            f" grown by {self.grown} MB once settled, {len(self.found)} found"
        )


def fuzz(
    name: str, harness: Harness, runs: int, seed: int = 0, seconds: float | None = None, most: int = 10
) -> Outcome:
    """Reads all seeds and the corpus, then `runs` changed ones, the same for the same `seed`; stops after `seconds`, or
    when `most` were found."""
    pool = [*harness.seeds(), *corpus(name)]
    rng = Random(f"{name} {seed}")
    found: dict[str, tuple[Path, str]] = {}
    begin, count, settled = time.process_time(), 0, 0
    with _shown(name) as show:
        for data in _inputs(pool, harness, rng, runs):
            show(data)
            wrong = _wrong(harness, data)
            if wrong is not None and wrong not in found:
                found[wrong] = _keep(name, data, wrong), wrong
            count += 1
            if count % _STEP == 0:
                if not settled and count >= runs * SETTLED:
                    settled = _resident()
                if seconds is not None and time.process_time() - begin > seconds:
                    break
            if len(found) >= most:
                break
    grown = max(_resident() - settled, 0) if settled else 0
    return Outcome(count, time.process_time() - begin, _peak(), grown, list(found.values()))


def _inputs(pool: list[bytes], harness: Harness, rng: Random, runs: int) -> Iterator[bytes]:
    """The pool as it is, then changed: most once or twice, some again and again."""
    yield from pool
    own = list(pool)
    for count in range(runs):
        data = rng.choice(own)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = harness.mutate(rng, data, pool)
        yield data
        if count % 16 == 0 and len(data) <= _LARGEST:
            if len(own) < len(pool) + _KEPT:
                own.append(data)
            else:
                own[rng.randrange(len(pool), len(own))] = data


@contextlib.contextmanager
def _shown(name: str) -> Iterator[Callable[[bytes], None]]:
    """A function that shows an input to those who come after a crash: its length in 8 bytes, then the input."""
    FOUND.mkdir(parents=True, exist_ok=True)
    room = 1 << 22
    with (FOUND / f"{name}.current").open("w+b") as file:
        file.truncate(room)
        shown = mmap.mmap(file.fileno(), room)

    def show(data: bytes) -> None:
        size = min(len(data), room - 8)
        shown[:8] = size.to_bytes(8, "little")
        shown[8 : 8 + size] = data[:size]

    try:
        yield show
    finally:
        shown.close()


def _wrong(harness: Harness, data: bytes) -> str | None:
    """What goes wrong as an input is read, in a line; None for nothing."""
    before = _peak()
    try:
        with within(harness.seconds):
            harness.run(data)
    except TooLong as error:
        return str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
    taken = _peak() - before
    return f"it took {taken} MB" if taken > harness.megabytes else None


def _keep(name: str, data: bytes, wrong: str) -> Path:
    path = FOUND / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    print(f"{name}: {wrong}: {path}", file=sys.stderr, flush=True)
    return path


def _peak() -> int:
    """Megabytes that the process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


def _resident() -> int:
    """Megabytes that it has now; where the system does not tell, at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak()
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
