"""Root may write anywhere. A test of what may not be written gives that right up first."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
VERSION_3 = 0x20080522


def as_an_owner(function: Callable[[], T]) -> T:
    """What `function` gives where permissions hold, as for any owner of files: in a thread of its own, because a
    thread of root's can drop the capability to ignore them, and cannot take it back."""
    if os.geteuid() != 0:
        return function()
    with ThreadPoolExecutor(1, initializer=_keep_to_permissions) as pool:
        return pool.submit(function).result()


def _keep_to_permissions() -> None:
    """Linux: see capset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; and the same for capabilities from 32 on
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for i in range(3):
        sets[i] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")
