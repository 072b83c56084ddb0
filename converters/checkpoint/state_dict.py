"""Finding the weights in what people save: a state dict, alone or nested among optimizers and averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.holdings import (
    MOST,
    Holding,
    Tensors,
    children,
    holdings,
    is_average,
    is_network,
)
from sige_mlx.converters.checkpoint.objects import Placeholder
from sige_mlx.converters.checkpoint.reader import Checkpoint
from sige_mlx.errors import printable

AVERAGED, RAW = "ema", "raw"
"""What may be preferred, besides the place of a state dict."""

_MODEL_KEYS = ("model", "state_dict", "model_state_dict", "net")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v", "._u", "._v")
_MAX_PARTS = 16

Known = Callable[[Tensors], bool]


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, where in the checkpoint they were (`"model"`, `"ema"`, `""` for its top), and remarks; `foreign`
    says what tensors of that place are that are no dense ones. `averaged` ones were preferred to the model's own."""

    tensors: Tensors
    found_at: str
    notes: tuple[str, ...] = ()
    foreign: Mapping[str, str] = field(default_factory=dict)
    averaged: bool = False


def state_dict(checkpoint: Checkpoint, prefer: str = AVERAGED, known: Known = lambda _: False) -> StateDict:
    """The network's weights in `checkpoint`, `module.` prefixes stripped.

    The model's own are what is under `model`, `state_dict`, `model_state_dict` or `net`, or is all there is, or is the
    only one of several that is a `known` network; `known` also tells which part of a state dict is one, where names
    begin with those of several networks. With `prefer="ema"` averaged weights win, under whatever key of that meaning,
    if they have the same names and shapes; what they lack comes from the model. `prefer="raw"` takes the model's own,
    and any other text is the place of those to take: `"netG"`, `"4"`, `"ema.shadow"`. Raises `CheckpointError` if there
    are none, or several.
    """
    held = _with_averages_apart(holdings(checkpoint.root))
    try:
        if prefer not in (AVERAGED, RAW):
            return _at(prefer, held)
        return _preferred(checkpoint.root, held, prefer == AVERAGED, known)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None


def _preferred(root: object, held: Sequence[Holding], averaged: bool, known: Known) -> StateDict:
    averages = [one for one in held if one.average]
    raw, notes = _raw([one for one in held if not one.average], known)
    if raw and not averages:
        averages = _repeated(raw, held)
    if not averaged:
        if raw is None:
            raise CheckpointError(_explain(root, held))
        return StateDict(raw.tensors, raw.place, notes, raw.foreign)
    if raw is None:
        if len(averages) != 1 or averages[0].unnamed:
            raise CheckpointError(_explain(root, held))
        return StateDict(averages[0].tensors, averages[0].average or "", (), averages[0].foreign)
    alike = [one for one in averages if _overlaps(one, raw)]
    average = _aligned(alike[0], raw) if len(alike) == 1 else None
    if average is not None:
        place = alike[0].average or alike[0].place
        notes = (*notes, *_lacking(average, raw, place))
        return StateDict({**raw.tensors, **average}, place, notes, raw.foreign, averaged=True)
    places = [one.average or one.place for one in alike or averages]
    places += [key for key, _ in children(root) if key == AVERAGED and not places]
    if places:
        wrong = "do not fit the model's names and shapes"
        if len(alike) > 1:
            wrong = f"are several, {_listed(one.place for one in alike)}, to be chosen by --weights"
        notes = (*notes, f"the averaged weights under {_listed(places)} {wrong}: its own were taken")
    return StateDict(raw.tensors, raw.place, notes, raw.foreign)


def _raw(held: Sequence[Holding], known: Known) -> tuple[Holding | None, tuple[str, ...]]:
    """The model's own weights among `held`, and remarks. Raises `CheckpointError` where there are several."""
    for depth in range(2):
        for key in _MODEL_KEYS:
            if under := [one for one in held if one.path[depth : depth + 1] == (key,)]:
                held = under
                break
    averages = _repeated(held[0], held) if held else []
    held = [one for one in held if not any(one is average for average in averages)]
    if len(held) > 1 and len(fitting := [one for one in held if known(one.tensors)]) == 1:
        return fitting[0], (
            f"of the state dicts {_listed(one.place for one in held)} that of a known network is taken",
        )
    if len(held) > 1:
        places = _listed(one.place for one in held)
        raise CheckpointError(f"it holds several state dicts ({places}): choose one with --weights KEY")
    if not held:
        return None, ()
    return _part(held[0], known)


def _part(raw: Holding, known: Known) -> tuple[Holding, tuple[str, ...]]:
    """Of a state dict whose names begin with those of several networks, the known one's; else all of it."""
    parts = _parts(raw)
    if not 1 < len(parts) <= _MAX_PARTS or known(raw.tensors):
        return raw, ()
    fitting = [part for part in parts if known(part.tensors)]
    if len(fitting) > 1:
        raise CheckpointError(
            f"it holds several networks ({_listed(part.place for part in fitting)}): choose one with --weights KEY"
        )
    if not fitting:
        return raw, ()
    others = _listed(part.path[-1] for part in parts if part is not fitting[0])
    return fitting[0], (f"of its tensors those under {fitting[0].path[-1]!r} are taken; others are under {others}",)


def _parts(whole: Holding) -> list[Holding]:
    """The tensors by the first part of their names, which are kept without it."""
    tensors: dict[str, Tensors] = {}
    foreign: dict[str, dict[str, str]] = {}
    for name, tensor in whole.tensors.items():
        first, _, rest = name.partition(".")
        tensors.setdefault(first, {})[rest or name] = tensor
    for name, kind in whole.foreign.items():
        first, _, rest = name.partition(".")
        foreign.setdefault(first, {})[rest or name] = kind
    return [
        Holding((*whole.path, first), tensors.get(first, {}), foreign.get(first, {}))
        for first in {**tensors, **foreign}
    ]


def _with_averages_apart(held: Sequence[Holding]) -> list[Holding]:
    """`held`, where a state dict with averages among its names (`model_ema.…` beside `model.…`) counts as several."""
    apart: list[Holding] = []
    for one in held:
        parts = _parts(one)
        averages = [part for part in parts if is_average(part.path[-1])]
        if not averages or len(averages) == len(parts) or len(parts) > MOST:
            apart.append(one)
            continue
        names = {part.path[-1] for part in averages}
        rest = replace(one, tensors={n: t for n, t in one.tensors.items() if n.partition(".")[0] not in names})
        whole = any(_overlaps(average, rest) for average in averages)
        apart += [rest, *averages] if whole else [part for part in parts if any(t.shape for t in part.tensors.values())]
    return apart


def _repeated(raw: Holding, held: Sequence[Holding]) -> list[Holding]:
    """DDIM's training writes a list, `[model, optimizer, epoch, step, ema]`: what has the model's names and shapes in a
    later place is its average."""
    if not raw.path or not raw.path[-1].isdigit():
        return []
    return [one for one in held if one is not raw and one.path[:-1] == raw.path[:-1] and _same(one, raw)]


def _same(one: Holding, other: Holding) -> bool:
    return {n: t.shape for n, t in one.tensors.items()} == {n: t.shape for n, t in other.tensors.items()}


def _overlaps(average: Holding, raw: Holding) -> bool:
    """Whether an average seems to be that of `raw`: some of its names are the model's."""
    if average.unnamed:
        return _aligned(average, raw) is not None
    return any(name in raw.tensors for name in _renamed(average, raw))


def _aligned(average: Holding, raw: Holding) -> Tensors | None:
    """The average by the names of the model; None where it has others or other shapes."""
    if average.unnamed:
        names = [name for name in raw.tensors if not name.endswith(_BUFFERS)]
        shapes = [raw.tensors[name].shape for name in names]
        if shapes != [tensor.shape for tensor in average.unnamed]:
            return None
        return dict(zip(names, average.unnamed, strict=True))
    renamed = {n: t for n, t in _renamed(average, raw).items() if n in raw.tensors or t.shape}  # no decay, no counts
    fits = all(name in raw.tensors and raw.tensors[name].shape == t.shape for name, t in renamed.items())
    return renamed if renamed and fits else None


def _renamed(average: Holding, raw: Holding) -> Tensors:
    """The average's tensors; where its names are the model's without their dots, by the model's."""
    if any(name in raw.tensors for name in average.tensors):
        return average.tensors
    dotted = {name.replace(".", ""): name for name in raw.tensors}
    return {dotted.get(name, name): tensor for name, tensor in average.tensors.items()}


def _lacking(average: Tensors, raw: Holding, place: str) -> tuple[str, ...]:
    """What to tell of an average that does not have all weights of the model."""
    lacking = [name for name in raw.tensors if name not in average and not name.endswith(_BUFFERS)]
    if not lacking:
        return ()
    count = f"{len(lacking)} of {len(raw.tensors)} tensors are not averaged under {place!r}"
    return (f"{count} and are the model's own: {_listed(lacking)}",)


def _at(place: str, held: Sequence[Holding]) -> StateDict:
    """The state dict at a place, or the part of one whose names begin with it."""
    found = [one for one in held if f"{one.place}.".startswith(f"{place}.") and not one.unnamed]
    if not found:
        found = [part for one in held for part in _parts(one) if part.place == place]
    if len(found) == 1:
        return StateDict(found[0].tensors, found[0].place, (), found[0].foreign)
    places = _listed(one.place or "(its top)" for one in held)
    wrong = f"several state dicts under {place!r}" if found else f"no state dict under {place!r}"
    raise CheckpointError(f"it holds {wrong}; --weights takes ema, raw or one of the places {places}")


def _explain(root: object, held: Sequence[Holding]) -> str:
    """Why there is no state dict in `root`."""
    if held:
        return f"it holds averaged weights alone, under {_listed(one.place for one in held)}: choose with --weights KEY"
    for key, value in (("", root), *children(root)):
        if isinstance(value, Placeholder) and is_network(value):
            at = f"under {printable(key)!r} " if key else ""
            return (
                f"it holds {at}a whole pickled model ({value.name}), whose class is not loaded: save its state_dict()"
                " instead"
            )
    if keys := [key for key, _ in children(root) if not key.isdigit()]:
        return f"it holds no state dict; its top level has {_listed(keys)}"
    return "it holds no state dict: save model.state_dict()"


def _listed(names: Iterable[str]) -> str:
    texts = [repr(name[:80]) for name in dict.fromkeys(names)]
    return ", ".join(texts[:5]) + (", …" if len(texts) > 5 else "")
