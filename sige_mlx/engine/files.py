"""Memory for recordings, and files without a name that take its place on the disk."""

import functools
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError

Bytes = npt.NDArray[np.uint8]


class Blocks:
    """Memory for recordings, in blocks with pages of their own: they go back to the system as soon as nobody has them.
    New pages are dear, a small network's step takes as long for them as for all that it computes. Huge ones are no
    remedy: in a virtual machine whose host has to find the memory first they take five times as long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reusing = 0
        self._spare: tuple[Hashable, mmap.mmap] | None = None

    def new(self, nbytes: int, kind: Hashable) -> Bytes:
        """Returns a block: zeros, or what a block of the same kind held, which has as many bytes."""
        with self._lock:
            spare, self._spare = self._spare, None
        pages = None
        if spare and spare[0] == kind:
            pages = spare[1]
        del spare  # goes before there is another
        pages = pages or mmap.mmap(-1, max(nbytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block = np.frombuffer(pages, np.uint8, nbytes)
        weakref.finalize(block, self._left, kind, pages).atexit = False
        return block

    @contextmanager
    def reused(self) -> Iterator[None]:
        """Within it a block that nobody has any more is given to whoever wants one of its kind next."""
        with self._lock:
            self._reusing += 1
        try:
            yield
        finally:
            with self._lock:
                self._reusing -= 1
                spare, self._spare = self._spare, self._spare if self._reusing else None
            del spare

    def _left(self, kind: Hashable, pages: mmap.mmap) -> None:
        if self._reusing:
            self._spare = kind, pages


BLOCKS = Blocks()
"""Those of this process."""


class MappedFile:
    """A file of `parts` one behind the other, `nbytes` together, in a folder, and `data`, the bytes of it as they are
    mapped: what is written there reaches the file. A part is written before the next one is asked for. The file has no
    name, so that it goes with this object, or with the process, however that ends. Raises `SigeError` when it cannot be
    written."""

    def __init__(self, parts: Iterable[Bytes], nbytes: int, folder: Path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            for part in parts:
                left = part.data
                while left:
                    left = left[self.file.write(left) :]
            self._map = mmap.mmap(self.file.fileno(), nbytes)
        except OSError as error:
            raise SigeError(
                f"a recorded step of {nbytes / 2**20:.0f} MiB cannot be put into {folder}: {error.strerror};"
                " SIGE_MLX_CACHE may name another folder"
            ) from None
        self.data = np.frombuffer(self._map, np.uint8)
        self._expected = False

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Has bytes brought in, from one on and so many, that will be read soon. Nobody waits for that."""
        self._expected = True
        _ahead().submit(self._bring_in, ranges)

    def need(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Has bytes brought in that are read now, unless they were expected: all at once, for one after the other they
        take longer."""
        if not self._expected:
            self._bring_in(ranges)

    def _bring_in(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, size in ranges:
            if hasattr(os, "posix_fadvise"):  # which lets other threads run
                os.posix_fadvise(self.file.fileno(), start, size, os.POSIX_FADV_WILLNEED)
            else:
                first = start - start % mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, first, start + size - first)

    def exchange(self, start: int, put: npt.NDArray[Any], before: npt.NDArray[Any]) -> None:
        """Puts an array in, from a byte on, and gives what was there. To map and mark the pages takes longer."""
        at, given, found = start, put.data.cast("B"), before.data.cast("B")
        while found:
            held = os.pread(self.file.fileno(), len(found), at)
            found[: len(held)] = held
            os.pwrite(self.file.fileno(), given[: len(held)], at)
            at, given, found = at + len(held), given[len(held) :], found[len(held) :]

    def release(self) -> None:
        """Lets go of the memory that bytes are in which were read or written; they are in the file."""
        self._expected = False
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


@functools.cache
def _ahead() -> ThreadPoolExecutor:
    """The thread that asks for what will be read: to ask takes as long as a tenth of an edit."""
    return ThreadPoolExecutor(1, "sige-mlx reads ahead")


def room(folder: Path) -> int:
    """Returns how many bytes files in a folder, that need not be there yet, may take: half of what is free."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize // 2
