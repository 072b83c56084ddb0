"""A published checkpoint in, a folder with `config.json` and `model.safetensors` out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from sige_mlx import zoo
from sige_mlx.arguments import whole
from sige_mlx.converters import hub, metric_weights, safetensors_file
from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.state_dict import AVERAGED
from sige_mlx.converters.checkpoint.tensor import itemsize
from sige_mlx.converters.folder import staged_folder
from sige_mlx.converters.network import VERSION, Recognised, recognised
from sige_mlx.converters.source import find
from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES
from sige_mlx.nn.precisions import PRECISIONS

DTYPES = tuple(PRECISIONS)
_CHUNK = 1 << 23

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class ConvertedModel:
    """What `convert` wrote: `folder`, the family's configuration dataclass, and remarks a user should see. Of weights
    by which a `measure` of pictures is defined there is no family and no configuration."""

    folder: Path
    family: str
    config: Any
    parameters: int
    nbytes: int
    sha256: str
    md5: str
    notes: tuple[str, ...]
    measure: str = ""


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    *,
    family: str | None = None,
    dtype: str = "float32",
    image_size: int | None = None,
    settings: Mapping[str, Any] | None = None,
    prefer: str = AVERAGED,
    force: bool = False,
    progress: Progress | None = None,
) -> ConvertedModel:
    """Convert a PyTorch or safetensors checkpoint into the folder `destination`, in our layout; without one, into the
    weight cache, under the name that `zoo.load` knows the network by.

    `source` is the file, the list of its shards, a folder with one (a model's or a pipeline's of diffusers, one of the
    Hugging Face hub's cache), or the address of a repository there (see `hub.fetch`). What diffusers wrote beside the
    weights is read, and what it says otherwise than our network does is an error.
    The network is recognised by its tensors, unless `family` names it; `image_size` is its nominal height and width
    where they are not the published ones; `settings` are fields of its configuration that no tensor tells, and of the
    `EditPolicy` of its edits, such as `tiles_from`; `dtype` is "float32" or "float16"; `prefer` says
    which weights of a file that has several: "ema", "raw" or their place (see `checkpoint.state_dict`). An existing
    model is only replaced with `force`, and whatever interrupts the conversion, the folder is either as it was or
    complete. `progress(stage, done, total)` is told of the bytes read (stage "checksum") and written ("write").
    A file that `sige_mlx.metrics` needs, such as those of LPIPS, goes to where that looks for it in the cache.
    Raises `SigeError` with one sentence for anything wrong with the file, its tensors or the destination.

        converted = sige_mlx.convert("checkpoint.pth", "my-model", dtype="float16")
        model = sige_mlx.load(converted.folder)
    """
    if dtype not in DTYPES:
        raise SigeError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}")
    if image_size is not None:
        whole(image_size, "the image size", 1)
    address = os.fspath(source)
    if not address:
        raise SigeError("the name of the checkpoint is empty: give a file, a folder or hf:OWNER/NAME")
    weights = find(hub.fetch(address) if hub.is_address(address) else Path(os.path.expanduser(address)))

    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(stage, done, total)

    if family is None and (of_measure := metric_weights.recognised(weights)):
        asked = {"a destination": destination, "an image size": image_size, "settings": settings}
        asked |= {f"dtype {dtype}": dtype != DTYPES[0], f"weights {prefer}": prefer != AVERAGED}
        return _measure(of_measure, [name for name, given in asked.items() if given], tell)
    found = recognised(weights, prefer, family, image_size, settings or {})
    sha256, md5 = _digests(weights.files, tell)
    if destination is None:
        destination = zoo.cache_folder() / zoo.name_for(found.match.family, found.match.config, weights.path, md5)
    destination = Path(os.path.expanduser(destination))
    if Path(os.path.realpath(destination)) in Path(os.path.realpath(weights.path)).parents:
        raise SigeError(f"{destination}: the checkpoint lies in it; give another folder for the model")
    shapes = {name: origin.built_shape for name, origin in found.match.layout.sources.items()}
    count = sum(map(math.prod, shapes.values()))
    nbytes = count * itemsize(dtype)
    with staged_folder(destination, (zoo.CONFIG_FILE, zoo.WEIGHTS_FILE), nbytes, force) as folder:
        provenance = {"file": weights.path.name.encode(errors="replace").decode(), "sha256": sha256}
        network = dataclasses.asdict(found.match.config)
        usual = FAMILIES[found.match.family].policy(found.match.config)
        differs = (name for name in zoo.EDIT if getattr(found.policy, name) != getattr(usual, name))
        edit = {name: getattr(found.policy, name) for name in differs}
        config = {"format": zoo.FORMAT, "family": found.match.family, "config": network, "edit": edit}
        config["source"] = provenance
        (folder / zoo.CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
        metadata = {
            "format": "mlx",
            "family": found.match.family,
            "source_file": provenance["file"],
            "source_sha256": sha256,
            VERSION: _version(),
        }
        done = 0
        tensor = partial(_build, weights.path, found, dtype)
        for written in safetensors_file.write(folder / zoo.WEIGHTS_FILE, shapes, dtype, tensor, metadata):
            done += written
            tell("write", done, nbytes)
    notes = (*found.notes, *_origin(found, weights.path, md5))
    return ConvertedModel(destination, found.match.family, found.match.config, count, nbytes, sha256, md5, notes)


def _measure(found: metric_weights.Recognised, asked: Sequence[str], tell: Progress) -> ConvertedModel:
    """Convert the weights of a measure, of which nothing else may be `asked`."""
    measure = found.published.measure
    if asked:
        raise SigeError(
            f"{found.path}: holds weights of {measure}, which are converted as they are, to where it looks for them:"
            f" {' and '.join(asked)} cannot be chosen"
        )
    sha256, md5 = _digests((found.path,), tell)
    found.check_digest(sha256, md5)
    folder, count = found.write(sha256, partial(tell, "write"))
    return ConvertedModel(folder, "", None, count, count * itemsize(DTYPES[0]), sha256, md5, (), measure)


def _build(path: Path, found: Recognised, dtype: str, name: str) -> np.ndarray:
    """The parameter `name` in our layout, as `dtype`."""
    origin = found.match.layout.sources[name]
    try:
        values = origin.build(lambda tensor: found.tensors[tensor].numpy())
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype, order="C")
    if not np.isfinite(values).all():
        made_of = " with ".join(origin.tensors)
        raise CheckpointError(f"{path}: its tensor {made_of} has values that are not finite as {dtype}")
    return values


def _version() -> str:
    try:
        return version("sige-mlx")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


def _digests(paths: tuple[Path, ...], tell: Progress) -> tuple[str, str]:
    """SHA-256 and MD5, which is what authors publish, of files one after the other."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    files = [memoryview(map_file(path)) for path in paths]
    done, total = 0, sum(map(len, files))
    for data in files:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            sha256.update(chunk)
            md5.update(chunk)
            done += len(chunk)
            tell("checksum", done, total)
    return sha256.hexdigest(), md5.hexdigest()


def _origin(found: Recognised, path: Path, md5: str) -> tuple[str, ...]:
    """Whether it is a file of the authors, or only called like one, or of a network that several of theirs have."""
    files = [(name, file) for of in FAMILIES.values() for name, known in of.published.items() for file in known.files]
    for name, file in files:
        if file.md5 == md5:
            return (f"by its MD5 this is {file.name}, the authors' file of {name}",)
    for name, file in files:
        if file.called(path):
            if file.md5 is None:
                return (f"by where it lies this is {file.name}, a file of {name}",)
            wrong = f"its MD5 is {md5}, not {file.md5}: it is another file, or a damaged one"
            return (f"it is called as the authors' file of {name} is, but {wrong}",)
    family, config = found.match.family, found.match.config
    alike = {name: known for name, known in FAMILIES[family].published.items() if known.of(family) == config}
    if len(alike) > 1 and any(file.md5 for known in alike.values() for file in known.files):
        return (f"its network is that of {', '.join(alike)}, and by its MD5 it is none of their authors' files",)
    return ()
