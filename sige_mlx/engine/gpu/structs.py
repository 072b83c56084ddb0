"""The argument layout of the kernels, read from `metal/params.h`, the only place that describes it."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.text import read

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


@functools.cache
def layout(kind: str) -> np.dtype[Any]:
    """A member's type, or that of a struct, every number of which takes four bytes."""
    if kind not in layouts():
        return np.dtype({"int": np.int32, "float": np.float32}[kind])
    members = [(m.name, layout(m.kind), *(() if m.count is None else (m.count,))) for m in layouts()[kind]]
    return np.dtype(members)


def pack(name: str, values: Mapping[str, Any]) -> mx.array:
    """The struct `name` as one int32 array. Members that are not given are zero; one that the struct has not, or an
    array that is too long, is a mistake of the caller (KeyError, ValueError)."""
    return mx.array(np.array([_packed(name, values)], layout(name)).view(np.int32))


def _packed(kind: str, values: Any) -> Any:
    """A struct's members in order, as NumPy takes them; a number is itself."""
    if kind not in layouts():
        return values
    members = _blank(kind)
    unknown = values.keys() - members.keys()
    if unknown:
        raise KeyError(f"{kind} has no {', '.join(sorted(unknown))}")
    found = []
    for m in layouts()[kind]:
        given = values.get(m.name)
        if given is None:
            found.append(members[m.name])
        elif m.count is None:
            found.append(_packed(m.kind, given))
        elif len(given) > m.count:
            raise ValueError(f"{kind}.{m.name} holds {m.count}, not {len(given)}")
        else:
            blank = members[m.name][len(given) :]
            found.append([_packed(m.kind, item) for item in given] + blank)
    return tuple(found)


@functools.cache
def _blank(kind: str) -> dict[str, Any]:
    """The members of a struct, every number of which is zero."""
    blank = {}
    for m in layouts()[kind]:
        one: Any = tuple(_blank(m.kind).values()) if m.kind in layouts() else 0
        blank[m.name] = one if m.count is None else [one] * m.count
    return blank
