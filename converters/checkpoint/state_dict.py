"""Finding the weights in what people save: a state dict, alone or nested among optimizers and averages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Placeholder
from sige_mlx.converters.checkpoint.reader import Checkpoint
from sige_mlx.converters.checkpoint.tensor import Tensor

_MODEL_KEYS = ("model", "state_dict", "model_state_dict", "net")
_EMA_KEY = "ema"
_WRAPPER = "module."  # put before every name by torch.nn.DataParallel
_MAX_DEPTH = 3

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, where in the checkpoint they were (`"model"`, `"ema"`, `""` for its top), and remarks."""

    tensors: Tensors
    found_at: str
    notes: tuple[str, ...] = ()


def state_dict(checkpoint: Checkpoint, prefer: str = "ema") -> StateDict:
    """The network's weights in `checkpoint`, `module.` prefixes stripped.

    Looks at the top, under `model`, `state_dict`, `model_state_dict` and `net`, and under any other key if only one
    holds named tensors. With `prefer="ema"` the averaged weights beside them under `ema` win if they are a mapping from
    the same names to the same shapes, or hold a single such mapping; what they lack (buffers) comes from the model.
    `prefer="model"` takes the model's own. Raises `CheckpointError` if there are none.
    """
    if prefer not in ("ema", "model"):
        raise ValueError(f'prefer is {prefer!r}; it takes "ema" or "model"')
    model = _find(checkpoint.root, set(), _MAX_DEPTH)
    ema = _entries(checkpoint.root).get(_EMA_KEY) if prefer == "ema" else None
    if ema is not None:
        average = _only(_nested(ema)) or _named(ema)
        if average and (model is None or _fits(average, model.tensors)):
            return StateDict({**(model.tensors if model else {}), **average}, _EMA_KEY)
    if model is None:
        raise CheckpointError(f"{checkpoint.path}: {_explain(checkpoint.root)}")
    if ema is None:
        return model
    note = f"the averaged weights under '{_EMA_KEY}' do not fit the model's names and shapes: its own were taken"
    return StateDict(model.tensors, model.found_at, (note,))


def _find(value: object, seen: set[int], depth: int) -> StateDict | None:
    """The state dict in or under `value`. The file may hold cycles: `seen` is what has been looked at."""
    if not depth or id(value) in seen:
        return None
    seen.add(id(value))
    entries = _entries(value)
    for key in _MODEL_KEYS:
        if found := _find(entries.get(key), seen, depth - 1):
            return StateDict(found.tensors, f"{key}.{found.found_at}".rstrip("."), found.notes)
    nested = _nested(value)
    if not nested:
        tensors = _named(value)
        return StateDict(tensors, "") if tensors else None
    only = _only(nested)
    return StateDict(only, next(iter(nested))) if only else None


def _nested(value: object) -> dict[str, Tensors]:
    """The mappings from names to tensors directly under `value`, each once, the averaged weights left out."""
    unique = {id(v): (k, v) for k, v in _entries(value).items() if isinstance(k, str) and k != _EMA_KEY}
    return {key: tensors for key, inner in unique.values() if (tensors := _named(inner))}


def _only(candidates: dict[str, Tensors]) -> Tensors | None:
    return next(iter(candidates.values())) if len(candidates) == 1 else None


def _named(value: object) -> Tensors:
    """The tensors of a mapping by name, `module.` stripped if all have it; empty for anything but such a mapping."""
    tensors = {k: v for k, v in _entries(value).items() if isinstance(k, str) and isinstance(v, Tensor)}
    if all(name.startswith(_WRAPPER) for name in tensors):
        return {name.removeprefix(_WRAPPER): tensor for name, tensor in tensors.items()}
    return tensors


def _fits(average: Tensors, model: Tensors) -> bool:
    return all(name in model and model[name].shape == tensor.shape for name, tensor in average.items())


def _entries(value: object) -> Mapping[Any, Any]:
    """The items of a mapping of the file, whatever class it had; none for anything else."""
    if isinstance(value, Placeholder):
        return value.entries
    return value if isinstance(value, dict) else {}


def _explain(root: object) -> str:
    """Why there is no state dict in `root`."""
    if isinstance(root, Placeholder) and "_modules" in _entries(root.state):
        return f"it holds a whole pickled model ({root.name}), whose class is not loaded: save its state_dict() instead"
    if several := _nested(root):
        return f"it holds several state dicts ({_listed(several)}): save the one to convert by itself"
    if entries := _entries(root):
        return f"it holds no state dict; its top level has {_listed(entries)}"
    return "it holds no state dict: save model.state_dict()"


def _listed(names: Iterable[object]) -> str:
    texts = [repr(name[:80]) for name in names if isinstance(name, str)]
    return ", ".join(texts[:5]) + (", …" if len(texts) > 5 else "")
