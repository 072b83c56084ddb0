"""From a program to the array of structs that the native library runs."""

import ctypes
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from sige_mlx.engine.native import library as c
from sige_mlx.graph import program as p

_KINDS: tuple[type, ...] = (p.Conv, p.Norm, p.Depthwise, p.Attention, p.Paste)
"""In the order of `sige_kind`."""


def marshal(ops: Sequence[p.ProgramOp]) -> "ctypes.Array[c.Op]":
    """One struct an op, ready for `sige_run`."""
    array = (c.Op * len(ops))()
    for struct, op in zip(array, ops, strict=True):
        struct.kind = _KINDS.index(type(op))
        _fill(member(struct), op)
    return array


def member(struct: c.Op) -> Any:
    """The member of an op's union that is in use."""
    return getattr(struct.u, _KINDS[struct.kind].__name__.lower())


def _fill(struct: Any, op: Any) -> None:
    """Copies a dataclass into the struct of the same field names; a tuple also sets its count, `n_…`, and a dataclass
    that need not be there its flag, `has_…`."""
    for f in fields(op):
        value = getattr(op, f.name)
        if isinstance(value, tuple):
            _fill_array(struct, f.name, value)
        elif is_dataclass(value):
            _fill(getattr(struct, f.name), value)
            if hasattr(struct, f"has_{f.name}"):
                setattr(struct, f"has_{f.name}", 1)
        elif value is not None:
            setattr(struct, f.name, value)


def _fill_array(struct: Any, name: str, values: tuple[Any, ...]) -> None:
    array = getattr(struct, name)
    for i, value in enumerate(values):
        if is_dataclass(value):
            _fill(array[i], value)
        else:
            array[i] = value
    count = {"source": "n_sources", "output": "n_outputs", "sums": "n_sources"}.get(name)
    if count:
        setattr(struct, count, len(values))
