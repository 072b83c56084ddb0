"""What a checkpoint holds: every mapping from names to tensors, wherever in the file it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sige_mlx.converters.checkpoint import numpy_arrays
from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Global, Placeholder
from sige_mlx.converters.checkpoint.tensor import Tensor

Tensors = dict[str, Tensor]

_WRAPPER = "module."  # put before every name by torch.nn.DataParallel
_MAX_DEPTH = 6
_MAX_ITEMS = 64  # of a list that is more than numbers or tensors
MOST = 100  # state dicts in one file: each may be compared with each other
_UNNAMED = "shadow_params"  # what averages without names go by: a list of tensors, one for each parameter
_OPTIMIZER = "param_groups"  # what every optimizer's state has
_AVERAGE = frozenset({"ema", "shadow", "averaged", "average", "swa"})
_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Functions of torch._utils that rebuild tensors of other kinds -> what they are.
_FOREIGN = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_meta_tensor_no_storage": "on the device 'meta', without values",
    "_rebuild_qtensor": "quantised",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_tensor_v2": "a view that conjugates or negates",
    "_rebuild_wrapper_subclass": "of a class of its own",
    "_rebuild_device_tensor_from_numpy": "of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "of another device",
    "_rebuild_xla_tensor": "of another device",
}


@dataclass(frozen=True)
class Holding:
    """Tensors by name and where they are, as keys and indices from the top; `foreign` says what others are instead of
    dense numbers. Of an average that has no names, `unnamed` are the tensors in the order of the model's parameters."""

    path: tuple[str, ...]
    tensors: Tensors
    foreign: Mapping[str, str] = field(default_factory=dict)
    unnamed: tuple[Tensor, ...] = ()

    @property
    def place(self) -> str:
        """How a user names it."""
        return ".".join(self.path)

    @property
    def average(self) -> str | None:
        """The place that says that these are averaged weights; None for others."""
        for i, key in enumerate(self.path):
            if is_average(key):
                return ".".join(self.path[: i + 1])
        return None


def is_average(key: str) -> bool:
    """Whether what goes by this key is an average, by the words that it is made of."""
    return any(token.lower() in _AVERAGE for token in _TOKENS.findall(key))


def holdings(root: object) -> list[Holding]:
    """Every mapping with named tensors in `root` that has no other such mapping inside, in the file's order. Raises
    `CheckpointError` for more than anybody could choose from."""
    held = list(islice(_walk(root, (), set()), MOST + 1))
    if len(held) > MOST:
        raise CheckpointError(f"it holds more than {MOST} state dicts: save the one that is wanted alone")
    return held


def entries(value: object) -> Mapping[Any, Any]:
    """The items of a mapping of the file, whatever class it had, or the attributes of an object that is no network;
    none for anything else."""
    if isinstance(value, Placeholder):
        attributes = value.state if isinstance(value.state, dict) and not is_network(value) else {}
        return value.entries or attributes
    return value if isinstance(value, dict) else {}


def is_network(value: object) -> bool:
    """Whether `value` stands for a whole torch.nn.Module."""
    return isinstance(value, Placeholder) and isinstance(value.state, dict) and "_modules" in value.state


def children(value: object) -> Iterator[tuple[str, object]]:
    """What is in a mapping or a list of the file, by key or index."""
    for key, inner in entries(value).items():
        if (name := _text(key)) is not None:
            yield name, inner
    if isinstance(value, list | tuple) and len(value) <= _MAX_ITEMS:
        yield from ((str(index), inner) for index, inner in enumerate(value))


def _walk(value: object, path: tuple[str, ...], seen: set[int]) -> Iterator[Holding]:
    """The holdings in `value`. The file may hold cycles, and one object in several places: `seen` is what has been
    looked at."""
    if len(path) > _MAX_DEPTH or id(value) in seen or _OPTIMIZER in entries(value):
        return
    seen.add(id(value))
    if isinstance(value, list | tuple) and path and path[-1] == _UNNAMED:
        unnamed = tuple(tensor for inner in value if (tensor := _tensor(inner)) is not None)
        if unnamed and len(unnamed) == len(value):
            yield Holding(path, {}, {}, unnamed)
        return
    nested = [
        held for key, inner in children(value) if _is_container(inner) for held in _walk(inner, (*path, key), seen)
    ]
    yield from nested
    tensors: Tensors = {}
    foreign: dict[str, str] = {}
    for key, inner in () if nested else entries(value).items():
        if (name := _text(key)) is None:
            continue
        if (tensor := _tensor(inner)) is not None:
            tensors[name] = tensor
        elif kind := _kind(inner):
            foreign[name] = kind
    if tensors or foreign:
        if all(name.startswith(_WRAPPER) for name in (*tensors, *foreign)):
            tensors = {name.removeprefix(_WRAPPER): tensor for name, tensor in tensors.items()}
            foreign = {name.removeprefix(_WRAPPER): kind for name, kind in foreign.items()}
        yield Holding(path, tensors, foreign)


def _is_container(value: object) -> bool:
    return isinstance(value, dict | list | tuple) or (isinstance(value, Placeholder) and not _kind(value))


def _text(key: object) -> str | None:
    """A key as text; names of Python 2 may be bytes."""
    if isinstance(key, bytes):
        try:
            return key.decode()
        except UnicodeDecodeError:
            return None
    return key if isinstance(key, str) else None


def _tensor(value: object) -> Tensor | None:
    return value if isinstance(value, Tensor) else numpy_arrays.array(value)


def _kind(value: object) -> str | None:
    """What a tensor that is no dense tensor of plain numbers is; None for anything but a tensor."""
    match value:
        case Placeholder(name="torch._utils._rebuild_tensor_v3", args=(*_, Global("torch", dtype))):
            return f"of type {dtype}"
        case Placeholder(name="torch._tensor._rebuild_from_type_v2", args=(Global(_, function), kind, *_)):
            return _FOREIGN.get(function, f"of class {kind}" if isinstance(kind, Global) else "of a class of its own")
        case Placeholder(name=name) if name.startswith("torch._utils."):
            return _FOREIGN.get(name.removeprefix("torch._utils."))
        case Placeholder() if numpy_arrays.is_array(value):
            return "a NumPy array that does not hold plain numbers"
    return None
