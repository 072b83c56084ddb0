"""Two folders that change places at once: a call that Linux and macOS have and Python does not offer."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # of Linux's renameat2
_RENAME_SWAP = 2  # of macOS' renamex_np


def exchange(one: Path, other: Path) -> bool:
    """Let two existing paths of one file system change places; nobody ever sees one missing. False, with nothing done,
    where the system or the file system cannot."""
    library = ctypes.CDLL(None)
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            status = library.renamex_np(first, second, ctypes.c_uint(_RENAME_SWAP))
        else:
            status = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:  # an older C library
        return False
    return bool(status == 0)
