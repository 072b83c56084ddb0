"""What a checkpoint's pickle is built of besides plain data: inert stand-ins for classes and their instances."""

from __future__ import annotations

from typing import Any

_HASHES_TO_ITSELF = 1 << 60


class Global:
    """A class or function the pickle names. It is never imported."""

    __slots__ = ("module", "name")
    __match_args__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Placeholder:
    """What stands for an object of a class that is not loaded: its class's name and whatever the pickle gave it.

    `args` and `kwargs` would have gone to the constructor, `state` to `__setstate__`; `entries` and `elements` are what
    it would have been filled with as a mapping or a list.
    """

    __slots__ = ("args", "elements", "entries", "kwargs", "name", "state")

    def __init__(self, name: str, args: object = (), kwargs: object = None) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.state: object = None
        self.entries: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def __repr__(self) -> str:
        return f"Placeholder({self.name})"


class Dict(dict[Any, Any]):
    """An OrderedDict of the file; `attributes` holds what was set on it, such as a state dict's `_metadata`."""

    attributes: Any = None


class LongText:
    """A text that stays in the file, as the UTF-8 that it is there: too long for a name."""

    __slots__ = ("raw",)

    def __init__(self, raw: memoryview) -> None:
        self.raw = raw


class Latin1:
    """Bytes that protocol 2 wrote as a long text, a character each, and that stay in the file as that."""

    __slots__ = ("text",)

    def __init__(self, text: LongText) -> None:
        self.text = text

    def decoded(self) -> bytes:
        """The bytes, in memory; raises `ValueError` where the text is none or has other characters."""
        return str(self.text.raw, "utf-8").encode("latin1")


def hashable(key: Any) -> Any:
    """`key` if the file cannot choose its hash, else a placeholder holding it, which hashes by identity.

    Nested tuples recurse when hashed; large integers and tuples can be chosen to collide. No tensor's name is either.
    """
    if isinstance(key, str | bytes | bool | float | None | Global | Placeholder):
        return key
    if isinstance(key, int) and abs(key) < _HASHES_TO_ITSELF:
        return key
    return Placeholder("key", (key,))
