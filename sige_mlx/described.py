"""JSON files that describe something, from anywhere: read within bounds, and what is wrong with one in a sentence."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sige_mlx.errors import SigeError, first_line, printable

MAX_BYTES = 1 << 20
"""Far above a network's configuration or a few hundred names with colours."""


MAX_DEPTH = 20
"""Far more than any description has."""


def read_json(path: str | os.PathLike[str], purpose: str, limit: int = MAX_BYTES) -> Any:
    """What the JSON file `path` of at most `limit` bytes holds. Raises `SigeError`, in which `purpose` says what it
    should be read as."""
    wrong = f"{path} cannot be read as {purpose}: "
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise SigeError(f"{wrong}it is no regular file")
        with Path(path).open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise SigeError(f"{wrong}it has more than {limit >> 10} kB")
        return parsed(raw.decode())
    except UnicodeDecodeError:
        raise SigeError(f"{wrong}it is no text in UTF-8") from None
    except OSError as error:
        raise SigeError(f"{wrong}{error.strerror}") from None
    except ValueError as error:
        if isinstance(error, SigeError):
            raise
        raise SigeError(f"{wrong}{first_line(error)}") from None


def parsed(text: str) -> Any:
    """What a text in JSON holds. Raises `ValueError` for one that is none, for a name that is there twice, and for what
    is nested so deeply that comparing or quoting it could overflow the stack."""
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _parts(outer)]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def _parts(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises `ValueError` for a name that is there twice, of which another reader might take the other."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"{printable(name)!r} is in it twice")
        made[name] = value
    return made
