"""Processes that share the file of a session take turns."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sige_mlx import scratch
from sige_mlx.errors import SigeError, first_line

WAIT = 10.0
"""Seconds."""


@contextmanager
def turn(path: str | os.PathLike[str], wait: float | None = None) -> Iterator[None]:
    """Holds the file of a session, which is opened and saved in the block: other processes that do the same wait for so
    many seconds, by default `WAIT`. Without it the last one to save has its way, and what others have committed is
    lost. Where there is no file yet, an empty one holds the place (`begun`). Raises `SigeError` when the wait was in
    vain, and where there can be no file. On a file system without locks nobody waits."""
    target, end = Path(os.path.realpath(path)), time.monotonic() + (WAIT if wait is None else wait)
    while True:
        try:
            descriptor, new = _opened(target)
            if scratch.locked(target, descriptor, wait=False):
                break
        except BlockingIOError:
            if time.monotonic() > end:
                raise SigeError(
                    f"{path} is held by another process, which edits it: try again when that has ended, or edit in"
                    " another session"
                ) from None
            time.sleep(0.05)
        except OSError as error:
            raise SigeError(f"{path} cannot be written: {error.strerror or first_line(error)}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if new and os.path.samestat(os.stat(target), os.fstat(descriptor)):  # nothing was saved
                target.unlink()
        os.close(descriptor)


def begun(path: str | os.PathLike[str]) -> bool:
    """Whether there is a session in this place, or anything else that is not just its place."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not stat.S_ISREG(found.st_mode) or found.st_size > 0


def _opened(target: Path) -> tuple[int, bool]:
    """A descriptor, and whether the file is new."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        with suppress(FileExistsError):
            return os.open(target, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        with suppress(FileNotFoundError):  # another has taken it away meanwhile
            return os.open(target, flags), False
