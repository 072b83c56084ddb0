"""This module makes of a program the array of structs that the native library compiles."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from sige_mlx.engine.native.library import header
from sige_mlx.graph import program as p

_COUNTS = {"source": "n_sources", "output": "n_outputs", "sums": "n_sources"}


def marshal(ops: Sequence[p.ProgramOp]) -> Any:
    """Returns an array with a `sige_op` for each op. The name of an op's dataclass says its kind and the member of the
    union: `Conv` is SIGE_CONV and `conv`. Fields have the names of the struct's."""
    array = (header().structs["sige_op"] * len(ops))()
    for struct, op in zip(array, ops, strict=True):
        kind = type(op).__name__
        struct.kind = header().constants[f"SIGE_{kind.upper()}"]
        _fill(getattr(struct.u, kind.lower()), op)
    return array


def _fill(struct: Any, op: Any) -> None:
    """Copies a dataclass into the struct of the same field names. A tuple also sets its count, and a dataclass that may
    be absent sets its flag, `has_…`."""
    for f in fields(op):
        value = getattr(op, f.name)
        if isinstance(value, tuple):
            array = getattr(struct, f.name)
            for i, item in enumerate(value):
                if is_dataclass(item):
                    _fill(array[i], item)
                else:
                    array[i] = item
            if f.name in _COUNTS:
                setattr(struct, _COUNTS[f.name], len(value))
        elif is_dataclass(value):
            _fill(getattr(struct, f.name), value)
            if hasattr(struct, f"has_{f.name}"):
                setattr(struct, f"has_{f.name}", 1)
        elif value is not None:
            setattr(struct, f.name, value)
