"""The argument layout of the kernels, read from `metal/params.h`, the only place that describes it."""

import functools
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.source import read

Value = int | float | Mapping[str, Any] | list[Any]

_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_MEMBERS = re.compile(r"(\w+) ([^;]+);")
_MEMBER = re.compile(r"(\w+)(?:\[(\d+)\])?")


@dataclass(frozen=True)
class Member:
    """`kind` is "int", "float" or the name of a struct; `count` the length of an array."""

    name: str
    kind: str
    count: int | None


@functools.cache
def layouts() -> dict[str, tuple[Member, ...]]:
    """The members of every struct of `params.h`."""
    found = {}
    for name, body in _STRUCT.findall(read("params.h")):
        members = []
        for kind, names in _MEMBERS.findall(re.sub(r"//.*", "", body)):
            for member, count in _MEMBER.findall(names):
                members.append(Member(member, kind, int(count) if count else None))
        found[name] = tuple(members)
    return found


def pack(name: str, values: Mapping[str, Any]) -> mx.array:
    """The struct `name` as one int32 array. Members that are not given are zero; one that the struct has not, or an
    array that is too long, is a mistake of the caller (KeyError, ValueError)."""
    return mx.array(np.array(list(_words(name, values)), np.int32))


def _words(name: str, values: Mapping[str, Any]) -> Iterator[int]:
    members = layouts()[name]
    unknown = set(values) - {m.name for m in members}
    if unknown:
        raise KeyError(f"{name} has no {', '.join(sorted(unknown))}")
    for m in members:
        given = values.get(m.name, [] if m.count else {} if m.kind in layouts() else 0)
        items = [given] if m.count is None else [*given]
        if m.count is not None and len(items) > m.count:
            raise ValueError(f"{name}.{m.name} holds {m.count}, not {len(items)}")
        blank: Any = {} if m.kind in layouts() else 0
        for item in items + [blank] * ((m.count or 1) - len(items)):
            if m.kind in layouts():
                yield from _words(m.kind, item)
            elif m.kind == "float":
                yield struct.unpack("<i", struct.pack("<f", item))[0]
            else:
                yield int(item)
