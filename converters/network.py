"""From files with weights to the network that they are of, and its tensors by the names that it knows them by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sige_mlx import zoo
from sige_mlx.converters import checkpoint, safetensors_file
from sige_mlx.converters.checkpoint import Checkpoint, CheckpointError, StateDict, Tensor, numpy_arrays, sniff
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.tensor import FLOATING
from sige_mlx.converters.families import LAYOUTS, Family, Match, autoencoder_config, diffusers, recognise, under
from sige_mlx.converters.families.diffusers_config import CLASS, Described, schedule_remarks
from sige_mlx.converters.source import Weights, half
from sige_mlx.described import read_json
from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES, build, configured
from sige_mlx.graph.policy import EditPolicy

VERSION = "sige_mlx_version"  # among the metadata of the weights that we write


@dataclass(frozen=True)
class Recognised:
    """The network that a checkpoint holds, with the user's settings in it, its tensors by the layout's names, and what
    to tell the user."""

    match: Match
    policy: EditPolicy
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...]


def recognised(
    weights: Weights, prefer: str, family: str | None, image_size: int | None, settings: Mapping[str, Any]
) -> Recognised:
    """What `weights` hold; see `convert` for the others. Raises `SigeError` for anything wrong with it."""
    candidates = [f for f in LAYOUTS if family in (None, f.name)]
    if not candidates:
        raise SigeError(f"family is {family!r}; it is one of {', '.join(FAMILIES)}")
    state, notes = _state_dict(weights, prefer, candidates)
    described = _description(weights) if diffusers.is_theirs(state.tensors) else None
    if described and image_size is None:
        image_size = described.image_size()
    try:
        match = recognise(_shapes(state.tensors), candidates, image_size)
    except CheckpointError as error:
        if described:
            described.check_settings()  # says which one makes it another network
        for name, kind in state.foreign.items():
            wanted = "weights are taken from dense tensors of plain numbers"
            raise CheckpointError(f"{weights.path}: its tensor {name} is {kind}; {wanted}") from None
        raise CheckpointError(f"{weights.path}: {error}") from None
    notes = (*notes, *match.remarks)
    if match.layout.dialect == diffusers.DIALECT:
        notes = (*notes, *_checked(weights, described, match))
    if match.family == "kl_autoencoder":
        told, remarks = autoencoder_config.settings(described, match.config.patched)
        settings, notes = {**told, **settings}, (*notes, *remarks)
    tensors = {name.removeprefix(match.prefix): tensor for name, tensor in state.tensors.items()}
    for name in (name for origin in match.layout.sources.values() for name in origin.tensors):
        if (dtype := tensors[name].dtype) not in FLOATING:
            raise CheckpointError(f"{weights.path}: its tensor {name} is {dtype}; weights are floating-point numbers")
    return Recognised(*_configured(weights, match, settings), tensors, notes)


def _description(weights: Weights) -> Described | None:
    """What diffusers' config.json beside the weights says; None where there is none, or another's."""
    if weights.config is None:
        return None
    settings = read_json(weights.config, "a network's configuration")
    return Described(settings, weights.config) if isinstance(settings, dict) and CLASS in settings else None


def _checked(weights: Weights, described: Described | None, match: Match) -> tuple[str, ...]:
    """Remarks on a network in diffusers' layout, once nothing of what is said beside it makes it another."""
    if described is None:
        return (
            "no config.json of diffusers lies beside it: it is taken for a network with the settings of DDPM's own",
        )
    notes = described.check_settings()
    described.check_network(match.config)
    if weights.scheduler is not None:
        schedule = read_json(weights.scheduler, "a scheduler's configuration")
        notes += schedule_remarks(schedule if isinstance(schedule, dict) else {}, weights.scheduler)
    return notes


def _state_dict(weights: Weights, prefer: str, candidates: Sequence[Family]) -> tuple[StateDict, tuple[str, ...]]:
    """The weights in files of either format, and what to tell the user about them."""

    def known(tensors: Mapping[str, Tensor]) -> bool:
        try:
            recognise(_shapes(tensors), candidates)
        except SigeError:
            return False
        return True

    parts = [_content(path) for path in weights.files]
    content = parts[0]
    if len(parts) > 1:
        joined: dict[str, Tensor] = {}
        for part in parts:
            before = f"{of}." if (of := half(part.path)) else ""
            tensors = checkpoint.state_dict(part, prefer).tensors
            joined |= {before + name: tensor for name, tensor in tensors.items()}
        content = Checkpoint(weights.path, joined, tuple(name for part in parts for name in part.placeholders))
    state = checkpoint.state_dict(content, prefer, known)
    notes = state.notes
    if state.averaged:
        notes = ("they are averaged over training; --weights raw takes the model's own", *notes)
    if state.found_at:
        notes = (f"weights taken from {state.found_at!r}", *notes)
    if left := [name for name in content.placeholders if name not in numpy_arrays.NAMES]:
        notes = (*notes, f"not loaded, because never needed: {', '.join(left[:5])}")
    return state, notes


def _content(path: Path) -> Checkpoint:
    head = map_file(path)[: sniff.HEAD]
    if not sniff.is_safetensors(head):
        if path.suffix == ".safetensors" and sniff.describe(head) is None:
            raise CheckpointError(f"{path}: it is a damaged safetensors file, or none: it does not begin like one")
        return checkpoint.read(path)
    content = Checkpoint(path, safetensors_file.read(path), ())
    if VERSION in safetensors_file.metadata(path):
        if path.name == zoo.WEIGHTS_FILE and (path.parent / zoo.CONFIG_FILE).is_file():
            raise SigeError(f"{path}: is converted already; use it with --model {path.parent}")
        raise SigeError(
            f"{path}: is a converted model's {zoo.WEIGHTS_FILE}, without the {zoo.CONFIG_FILE} that belongs beside it"
        )
    return content


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _configured(weights: Weights, match: Match, settings: Mapping[str, Any]) -> tuple[Match, EditPolicy]:
    """The recognised network and how edits are computed, with `settings` in them, which must not make it another
    network."""
    of_network, of_edits = ({f.name for f in dataclasses.fields(of)} for of in (match.config, EditPolicy))
    for name in settings.keys() - of_network - of_edits:
        known = ", ".join(sorted(of_network | of_edits))
        raise SigeError(f"{name!r} is no setting of family {match.family!r}: it must be one of {known}")
    config = configured(match.config, {name: settings[name] for name in settings if name in of_network})
    policy = FAMILIES[match.family].policy(config)
    policy = configured(policy, {name: settings[name] for name in settings if name in of_edits})
    build(match.family, dataclasses.asdict(config))  # says what no network can be
    found = under(match, config, LAYOUTS)
    if found is None:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        hint = ""
        if FAMILIES[match.family].task == "labels":
            read = match.config.semantic_nc
            ways = (f"input_nc={read} with no_instance=true", f"input_nc={read - 1} with no_instance=false")
            hint = f"; the {read} channels that it reads are {' or '.join(ways)}"
        raise SigeError(f"{weights.path}: its tensors are those of another network than {given} asks for{hint}")
    return found, policy
