"""Time that a reader may take, by the processor's clock: a busy machine makes nothing slow."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooLong(BaseException):
    """Raised wherever a reader is when its time is over; not an `Exception`, so that nobody takes it for an error of a
    file."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises `TooLong` if the block takes more than `seconds` of a processor."""

    def end(_: int, __: FrameType | None) -> None:
        raise TooLong(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
