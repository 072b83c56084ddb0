"""Writing a whole folder or nothing, also where several processes write it at the same time or one is killed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sige_mlx.converters.swap import exchange
from sige_mlx.errors import SigeError
from sige_mlx.scratch import new_folder, sweep

_IGNORED = {".DS_Store"}  # what the macOS Finder leaves in any folder it has shown
_NAME, _NEW, _OLD = "name", "new", "old"  # what a scratch folder has in it, the first with the destination's name
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # what a rename says whose place is not free


@contextmanager
def staged_folder(destination: Path, files: Collection[str], nbytes: int, force: bool) -> Iterator[Path]:
    """A new folder, to be filled with `files` of `nbytes` bytes in all, that becomes `destination` as the block ends.

    If the block raises, also on Ctrl-C, `destination` is as it was. An older `destination` is only replaced with
    `force`, and only if nothing but `files` is in it; there is no moment at which neither is there. Without `force`,
    of several that write to one destination exactly one does. What processes that were killed have left beside it is
    removed. Raises `SigeError` if it may not be replaced, or on any `OSError`.
    """
    scratch = lock = None
    try:
        destination = Path(os.path.realpath(destination))
        _check_replaceable(destination, destination, files, force)
        destination.parent.mkdir(parents=True, exist_ok=True)
        sweep(destination.parent, "*", _removed)
        if (free := shutil.disk_usage(destination.parent).free) < nbytes:
            raise SigeError(f"{destination}: the model takes {nbytes >> 20} MB, and {free >> 20} MB are free there")
        scratch, lock = new_folder(destination.parent)
        (scratch / _NAME).write_bytes(os.fsencode(destination.name))
        new = scratch / _NEW  # not the scratch folder itself, which nobody else may read
        new.mkdir()
        yield new
        _put(new, destination, scratch / _OLD, files, force)
    except FileExistsError as error:  # a parent that is no folder
        raise SigeError(f"{destination}: cannot be written: {error.filename} is a file") from None
    except OSError as error:
        raise SigeError(f"{destination}: cannot be written: {error.strerror or error}") from None
    finally:
        if scratch is not None:
            _discard(scratch)
        if lock is not None:
            os.close(lock)


def _check_replaceable(found: Path, destination: Path, files: Collection[str], force: bool) -> None:
    """Raises `SigeError` if what `found` holds, which is or was at `destination`, may not be replaced."""
    try:
        present = set(os.listdir(found)) - _IGNORED
    except FileNotFoundError:  # nothing there, or no longer: others may move it at any moment
        return
    except NotADirectoryError:
        if not os.path.lexists(found):  # a parent is no folder
            return
        raise SigeError(f"{destination}: is a file; give a new folder for the model") from None
    if others := sorted(present.difference(files)):
        raise SigeError(f"{destination}: holds other files ({', '.join(others[:3])}); give a new folder for the model")
    if present and not force:
        raise SigeError(
            f"{destination}: holds a model already; it is only replaced with --force (force=True), and --out FOLDER"
            " puts this one elsewhere"
        )


def _put(new: Path, destination: Path, old: Path, files: Collection[str], force: bool) -> None:
    """Put `new` in the place of `destination`. Others may write there at any moment, so what is replaced is looked at
    again once it is out of their reach, and put back if it may not be replaced."""
    while True:
        try:
            new.rename(destination)  # takes the place of nothing or of an empty folder, and of nothing else
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        _check_replaceable(destination, destination, files, force)
        if exchange(new, destination):
            try:
                _check_replaceable(new, destination, files, force)
            except BaseException:
                exchange(new, destination)
                raise
            return
        shutil.rmtree(old, ignore_errors=True)
        try:
            destination.rename(old)
        except FileNotFoundError:
            continue  # another moved it away
        try:
            _check_replaceable(old, destination, files, force)
            new.rename(destination)
            return
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _TAKEN:
                continue  # another was faster, and is next to be replaced
            _put_back(old, destination)
            raise


def _put_back(old: Path, destination: Path) -> None:
    """Move `old` to `destination` again, or beside it where another has written there meanwhile."""
    try:
        old.rename(destination)
    except OSError:
        aside = tempfile.mkdtemp(prefix=f"{destination.name}.", dir=destination.parent)
        old.rename(aside)
        raise SigeError(f"{destination}: others wrote there at the same time; what was there is now {aside}") from None


def _removed(scratch: Path) -> None:
    """Remove a scratch folder whose process is gone, and put back what that one had moved away."""
    if not set(os.listdir(scratch)) <= {_NAME, _NEW, _OLD}:
        return  # the user's own
    name = (scratch / _NAME).read_bytes()[:4096] if (scratch / _NAME).is_file() else b""
    destination = scratch.parent / os.fsdecode(name)
    if destination.parent == scratch.parent and not os.path.lexists(destination) and (scratch / _OLD).is_dir():
        (scratch / _OLD).rename(destination)
    _discard(scratch)


def _discard(scratch: Path) -> None:
    """Remove a scratch folder, the name of what was moved away at last."""
    for part in (_NEW, _OLD):
        shutil.rmtree(scratch / part, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)
