"""A published checkpoint in, a folder with `config.json` and `model.safetensors` out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from sige_mlx import zoo
from sige_mlx.converters import checkpoint, safetensors_file
from sige_mlx.converters.checkpoint import Checkpoint, CheckpointError, StateDict, Tensor, sniff
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.tensor import FLOATING, itemsize
from sige_mlx.converters.families import FAMILIES, Match, recognise
from sige_mlx.converters.folder import staged_folder
from sige_mlx.errors import SigeError
from sige_mlx.models import build, configured
from sige_mlx.models.spade import LabelToImageConfig
from sige_mlx.nn.module import parameters
from sige_mlx.published import KNOWN

FORMAT = 1  # of config.json
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
DTYPES = ("float32", "float16")
VERSION = "sige_mlx_version"  # among the weights' metadata
_CHUNK = 1 << 23

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class ConvertedModel:
    """What `convert` wrote: `folder`, the family's configuration dataclass, and remarks a user should see."""

    folder: Path
    family: str
    config: Any
    parameters: int
    nbytes: int
    sha256: str
    md5: str
    notes: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    *,
    family: str | None = None,
    dtype: str = "float32",
    image_size: int | None = None,
    settings: Mapping[str, Any] | None = None,
    prefer: str = "ema",
    force: bool = False,
    progress: Progress | None = None,
) -> ConvertedModel:
    """Convert the PyTorch or safetensors checkpoint `source` into the folder `destination`, in our layout; without one,
    into the weight cache, under the name that `zoo.load` knows the network by.

    The network is recognised by its tensors, unless `family` names it; `image_size` is its nominal height and width
    where they are not the published ones; `settings` are fields of its configuration that no tensor tells, such as
    `sparse_resolution_threshold`; `dtype` is "float32" or "float16"; `prefer` is "ema" or "model" (see
    `checkpoint.state_dict`). An existing model is only replaced with `force`, and whatever interrupts the conversion,
    the folder is either as it was or complete. `progress(stage, done, total)` is told of the bytes read (stage
    "checksum") and written ("write").
    Raises `SigeError` with one sentence for anything wrong with the file, its tensors or the destination.
    """
    source = Path(source)
    if dtype not in DTYPES:
        raise SigeError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}")
    weights, notes = _open(source, prefer)
    match, tensors = _recognise(source, weights, family, image_size)
    configuration = _configured(source, match, settings or {})

    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(stage, done, total)

    sha256, md5 = _digests(source, tell)
    if destination is None:
        destination = zoo.cache_folder() / zoo.name_for(match.family, configuration, source, md5)
    destination = Path(destination)
    if destination.resolve() in source.resolve().parents:
        raise SigeError(f"{destination}: the checkpoint lies in it; give another folder for the model")
    shapes = {name: origin.built_shape for name, origin in match.layout.sources.items()}
    count = sum(map(math.prod, shapes.values()))
    nbytes = count * itemsize(dtype)
    with staged_folder(destination, (CONFIG_FILE, WEIGHTS_FILE), nbytes, force) as folder:
        provenance = {"file": source.name.encode(errors="replace").decode(), "sha256": sha256}
        network = dataclasses.asdict(configuration)
        config = {"format": FORMAT, "family": match.family, "config": network, "source": provenance}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
        metadata = {
            "format": "mlx",
            "family": match.family,
            "source_file": provenance["file"],
            "source_sha256": sha256,
            VERSION: _version(),
        }
        tensor = partial(_build, source, tensors, match, dtype)
        done = 0
        for written in safetensors_file.write(folder / WEIGHTS_FILE, shapes, dtype, tensor, metadata):
            done += written
            tell("write", done, nbytes)
    notes = (*notes, *match.remarks, *_origin(source, md5))
    return ConvertedModel(destination, match.family, configuration, count, nbytes, sha256, md5, notes)


def _open(source: Path, prefer: str) -> tuple[StateDict, tuple[str, ...]]:
    """The weights in a checkpoint of either format, and what to tell the user about them."""
    if sniff.is_safetensors(map_file(source)[: sniff.HEAD]):
        content = Checkpoint(source, safetensors_file.read(source), ())
        if VERSION in safetensors_file.metadata(source):
            raise SigeError(f"{source}: is converted already; use it with --model {source.parent}")
    else:
        content = checkpoint.read(source)
    weights = checkpoint.state_dict(content, prefer)
    notes = weights.notes
    if weights.found_at:
        notes = (f"weights taken from {weights.found_at!r}", *notes)
    if content.placeholders:
        notes = (*notes, f"not loaded, because never needed: {', '.join(content.placeholders[:5])}")
    return weights, notes


def _recognise(
    source: Path, weights: StateDict, family: str | None, image_size: int | None
) -> tuple[Match, dict[str, Tensor]]:
    """The network, and its tensors by the names that it knows them by."""
    candidates = [f for f in FAMILIES if family in (None, f.name)]
    if not candidates:
        raise SigeError(f"family is {family!r}; it is one of {', '.join(f.name for f in FAMILIES)}")
    try:
        match = recognise({name: tensor.shape for name, tensor in weights.tensors.items()}, candidates, image_size)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    tensors = {name.removeprefix(match.prefix): tensor for name, tensor in weights.tensors.items()}
    for name in (name for origin in match.layout.sources.values() for name in origin.tensors):
        if (dtype := tensors[name].dtype) not in FLOATING:
            raise CheckpointError(f"{source}: its tensor {name} is {dtype}; weights are floating-point numbers")
    return match, tensors


def _configured(source: Path, match: Match, settings: Mapping[str, Any]) -> Any:
    """The recognised configuration with `settings` in it, which must not make it another network."""
    known = [f.name for f in dataclasses.fields(match.config)]
    for name in settings:
        if name not in known:
            raise SigeError(f"{name!r} is no setting of family {match.family!r}: it must be one of {', '.join(known)}")
    config = configured(match.config, settings)
    network = build(match.family, dataclasses.asdict(config))
    built = {name: tuple(array.shape) for name, array in parameters(network).items()}
    if built != {name: origin.built_shape for name, origin in match.layout.sources.items()}:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        hint = ""
        if isinstance(config, LabelToImageConfig):
            read = match.config.semantic_nc
            ways = (f"input_nc={read} with no_instance=true", f"input_nc={read - 1} with no_instance=false")
            hint = f"; the {read} channels that it reads are {' or '.join(ways)}"
        raise SigeError(f"{source}: its tensors are those of another network than {given} asks for{hint}")
    return config


def _build(source: Path, tensors: dict[str, Tensor], match: Match, dtype: str, name: str) -> np.ndarray:
    """The parameter `name` in our layout, as `dtype`."""
    origin = match.layout.sources[name]
    try:
        values = origin.build(lambda tensor: tensors[tensor].numpy())
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype, order="C")
    if not np.isfinite(values).all():
        made_of = " with ".join(origin.tensors)
        raise CheckpointError(f"{source}: its tensor {made_of} has values that are not finite as {dtype}")
    return values


def _version() -> str:
    try:
        return version("sige-mlx")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


def _digests(path: Path, tell: Progress) -> tuple[str, str]:
    """SHA-256 and MD5, which is what authors publish."""
    data = memoryview(map_file(path))
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        sha256.update(chunk)
        md5.update(chunk)
        tell("checksum", min(start + _CHUNK, len(data)), len(data))
    return sha256.hexdigest(), md5.hexdigest()


def _origin(source: Path, md5: str) -> tuple[str, ...]:
    """Whether it is a file of the authors, or only called like one."""
    files = [(name, file) for name, known in KNOWN.items() for file in known.files if file.md5]
    for name, file in files:
        if file.md5 == md5:
            return (f"by its MD5 this is {file.name}, the authors' file of {name}",)
    for name, file in files:
        if file.called(source):
            wrong = f"its MD5 is {md5}, not {file.md5}: it is another file, or a damaged one"
            return (f"it is called as the authors' file of {name} is, but {wrong}",)
    return ()
