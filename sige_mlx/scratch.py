"""Files and folders that something is written into beside its place, until it is whole and moved there. A process holds
a lock on its own while it lives, so that whoever comes next there knows what a killed one has left, and removes it."""

import fcntl
import os
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PREFIX = ".sige-mlx-"
"""What their names begin with; those of files end with `SUFFIX`."""
SUFFIX = ".part"


def new_file(folder: Path) -> tuple[Path, int]:
    """A file in a folder, and a descriptor that holds its lock and can be written to. Raises `OSError`."""
    sweep(folder, f"*{SUFFIX}", lambda path: path.unlink(missing_ok=True))
    while True:
        path = folder / f"{PREFIX}{uuid.uuid4().hex[:12]}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if locked(path, descriptor):
            return path, descriptor


def new_folder(folder: Path) -> tuple[Path, int]:
    """A folder in a folder, and a descriptor that holds its lock. Raises `OSError`."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if locked(path, descriptor):
                return path, descriptor


def sweep(folder: Path, names: str, remove: Callable[[Path], object]) -> None:
    """Has those removed whose processes are gone, of which the name goes on with a pattern after `PREFIX`. `remove`
    leaves those alone that are not what they seem."""
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}{names}"):
            with suppress(OSError, ValueError):  # another's, or gone meanwhile
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(descriptor)


def locked(path: Path, descriptor: int, wait: bool = True) -> bool:
    """Locks what was opened, for this process alone, until the descriptor is closed. Where it is no longer what is at
    `path`, closes it and returns False. Without `wait` raises `BlockingIOError` while another process has the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks: then nothing is swept there either
        return True
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return True
    os.close(descriptor)
    return False
