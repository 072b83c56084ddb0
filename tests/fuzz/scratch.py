"""A file in memory where there is such a thing, for readers that take paths alone."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def folder(_: int) -> Path:
    made = tempfile.mkdtemp(prefix="sige-mlx-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def file(name: str, data: bytes) -> Path:
    """A new file of this content, one for each name and process. It takes the place of the last one, which a reader may
    still have mapped."""
    path = folder(os.getpid()) / name
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path
