"""What a machine's kernels were found to be, in a file of the cache folder. It saves time and is never needed: what
cannot be read is tried again, what cannot be written is forgotten."""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

LARGEST = 2**24
"""Bytes; a verdict takes a few hundred."""


def read(file: Path) -> dict[str, dict[str, str]]:
    """Verdicts by machine, then by kernel; none of a file that holds anything else, or that one would wait for."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return {}
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {machine: of for machine, of in found.items() if _are_verdicts(of)} if isinstance(found, dict) else {}


def _are_verdicts(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(verdict, str) for verdict in found.values())


def write(file: Path, machine: str, verdicts: Mapping[str, str]) -> None:
    """Adds those of a machine, whole or not at all. Whoever else writes at the same time may win: a kernel is then
    tried again."""
    text = json.dumps({**read(file), machine: dict(verdicts)}, indent=1)
    scratch = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{file.name}", dir=file.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(scratch, file)
    except OSError:  # a full disk, a folder of somebody else's
        if scratch is not None:
            with contextlib.suppress(OSError):
                os.unlink(scratch)
