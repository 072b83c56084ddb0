"""Writing a whole folder or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sige_mlx.errors import SigeError

_IGNORED = {".DS_Store"}  # what the macOS Finder leaves in any folder it has shown


@contextmanager
def staged_folder(destination: Path, files: Collection[str], nbytes: int, force: bool) -> Iterator[Path]:
    """A new folder, to be filled with `files` of `nbytes` bytes in all, that becomes `destination` as the block ends.

    If the block raises, also on Ctrl-C, `destination` is as it was. An older `destination` is only replaced with
    `force`, and only if nothing but `files` is in it. Raises `SigeError` if it may not be, or on any `OSError`.
    """
    destination = destination.resolve()
    scratch = None
    try:
        _check_replaceable(destination, files, force)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(destination.parent).free) < nbytes:
            raise SigeError(f"{destination}: the model takes {nbytes >> 20} MB, and {free >> 20} MB are free there")
        scratch = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
        new = scratch / "new"  # not the scratch folder itself, which nobody else may read
        new.mkdir()
        yield new
        _swap(new, destination, scratch / "old")
    except OSError as error:
        raise SigeError(f"{destination}: cannot be written: {error.strerror or error}") from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_replaceable(destination: Path, files: Collection[str], force: bool) -> None:
    if not os.path.lexists(destination):
        return
    if not destination.is_dir():
        raise SigeError(f"{destination}: is a file; give a new folder for the model")
    present = {path.name for path in destination.iterdir()} - _IGNORED
    if others := sorted(present.difference(files)):
        raise SigeError(f"{destination}: holds other files ({', '.join(others[:3])}); give a new folder for the model")
    if present and not force:
        raise SigeError(
            f"{destination}: holds a model already; it is only replaced with --force (force=True), and --out FOLDER"
            " puts this one elsewhere"
        )


def _swap(new: Path, destination: Path, old: Path) -> None:
    """Put `new` in the place of `destination`, which goes to `old` if it exists and comes back if anything fails."""
    try:
        if destination.exists():
            destination.rename(old)
        new.rename(destination)
    except BaseException:
        if old.exists() and not destination.exists():
            old.rename(destination)
        raise
