"""Where in what a user gives the weights are: a file, one of several shards, a folder of a library or of the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.described import read_json

INDEX = re.compile(r"(?P<stem>.+)\.(?P<kind>safetensors|bin)\.index(?P<variant>\.\w+)?\.json")
"""Names of files that list the shards of one state dict."""

_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}\.(?P<kind>safetensors|bin)")
_KNOWN = re.compile(r"(?:diffusion_pytorch_model|model|pytorch_model)(?P<variant>\.[\w-]+)?\.(?P<kind>safetensors|bin)")
_HALF = re.compile(r"(.*[_-])(encoder|decoder)")
"""Names of files with one half of an autoencoder."""

_CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".th", ".pkl")
_NO_WEIGHTS = re.compile(r"optimizer|scheduler|random_states|training_args|scaler")
_UNET, _PIPELINE, _CONFIG = "unet", "model_index.json", "config.json"
_SCHEDULER = "scheduler_config.json"
_MAX_INDEX = 1 << 25  # bytes; a hundred thousand names take ten million


@dataclass(frozen=True)
class Weights:
    """The files that hold one state dict, and those that describe it, where there are any. `path` is the file that they
    go by: the only one, or the index of several."""

    path: Path
    files: tuple[Path, ...]
    config: Path | None
    scheduler: Path | None


def find(given: Path) -> Weights:
    """The weights that `given` is or holds. Raises `CheckpointError` where there are none, or several."""
    try:
        given = given.parent if given.name in (_CONFIG, _PIPELINE) else given  # which describe what is beside them
        path = _in_folder(given) if given.is_dir() else _index_of(given)
        files = _shards(path) if INDEX.fullmatch(path.name) else _halves(path)
        config, scheduler = (next(filter(os.path.isfile, ways), None) for ways in _beside(path))
    except OSError as error:
        raise CheckpointError(f"{given}: cannot be read: {error.strerror}") from None
    return Weights(path, files, config, scheduler)


def choose(names: Collection[str]) -> str:
    """Which of the files `names` of a folder, with `/` between parts, is the weights or their index. A pipeline's are
    in its folder `unet`; whole ones come before variants such as `.fp16`, safetensors before pickles. Raises
    `CheckpointError`, without the folder's name, where there are none, or several."""
    folders = [f"{_UNET}/", ""] if _PIPELINE in names else ["", f"{_UNET}/"]
    inside = [[(folder, n[len(folder) :]) for n in names if n.startswith(folder)] for folder in folders]
    here = [[(folder, name) for folder, name in found if "/" not in name] for found in inside]
    for found in here:
        known = sorted((rank, folder + name) for folder, name in found if (rank := _rank(name)) is not None)
        if known:
            return known[0][1]
    for found in here:
        others = sorted(folder + name for folder, name in found if _is_checkpoint(name))
        if len(others) == 2 and _other_half(others[0]) == others[1]:
            return others[0]
        if len(others) > 1:
            raise CheckpointError(f"holds several checkpoints ({', '.join(others[:4])}): give one of them")
        if others:
            return others[0]
    raise CheckpointError(f"holds no checkpoint (such as diffusion_pytorch_model.safetensors), nor does {_UNET} in it")


def needed(names: Collection[str], folder: str = "") -> list[str]:
    """Of a repository with the files `names`, those that a conversion of what is in its `folder` reads."""
    above = f"{folder}/" if folder else ""
    path = PurePosixPath(above + choose([name[len(above) :] for name in names if name.startswith(above)]))
    wanted = {str(path), *(str(way) for ways in _beside(path) for way in ways), above + _PIPELINE}
    if index := INDEX.fullmatch(path.name):
        stem = index["stem"] + (index["variant"] or "")
        for name in (PurePosixPath(name) for name in names):
            shard = _SHARD.fullmatch(name.name)
            if shard and name.parent == path.parent and (shard["stem"], shard["kind"]) == (stem, index["kind"]):
                wanted.add(str(name))
    return [name for name in names if name in wanted]


def _in_folder(folder: Path) -> Path:
    """The weights in a folder: of the hub's cache, of a pipeline, of a model, or any with one checkpoint."""
    if (folder / "snapshots").is_dir():
        folder = snapshot(folder)
    for archive in (folder, *(inner for inner in folder.iterdir() if inner.is_dir())):
        if (archive / "data.pkl").is_file() and (archive / "data").is_dir():
            raise CheckpointError(
                f"{folder}: is what a PyTorch checkpoint unpacks to: give the file itself, or pack it again with"
                " `zip -0 -r model.pth FOLDER`"
            )
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    if (folder / _UNET).is_dir():
        names += [f"{_UNET}/{entry.name}" for entry in (folder / _UNET).iterdir() if entry.is_file()]
    try:
        return folder / choose(names)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None


def snapshot(repository: Path, revision: str | None = None) -> Path:
    """The snapshot of a repository in the hub's cache: that of a branch, tag or commit, which must be there; without a
    revision that of the main branch, else the only one. Raises `CheckpointError` where there is none, or a choice."""
    wanted = revision or "main"
    reference, commit = repository / "refs" / wanted, wanted
    try:
        if ".." not in wanted.split("/") and reference.is_file():
            with reference.open("rb") as file:
                commit = file.read(100).decode(errors="replace").strip()
        snapshots = sorted(entry for entry in (repository / "snapshots").iterdir() if entry.is_dir())
    except OSError as error:
        raise CheckpointError(f"{repository}: cannot be read: {error.strerror}") from None
    for found in snapshots:
        if found.name == commit:
            return found
    if revision or len(snapshots) != 1:
        there = f"there are {len(snapshots)} in its folder snapshots, and each may be given by its path"
        raise CheckpointError(f"{repository}: holds no snapshot of {wanted}; {there}")
    return snapshots[0]


def _index_of(path: Path) -> Path:
    """The index that lists a shard, if `path` is one and its index lies beside it; else `path`."""
    if shard := _SHARD.fullmatch(path.name):
        stem, _, variant = shard["stem"].partition(".")
        index = path.with_name(f"{stem}.{shard['kind']}.index{'.' if variant else ''}{variant}.json")
        if index.is_file():
            return index
    return path


def half(path: Path | str) -> str:
    """Of an autoencoder's file that holds one half, as its name tells, which: "encoder" or "decoder"; else nothing."""
    found = _HALF.fullmatch(Path(path).stem)
    return found[2] if found else ""


def _other_half(name: str) -> str:
    """What the file with the other half is called."""
    found = _HALF.fullmatch(Path(name).stem)
    other = {"encoder": "decoder", "decoder": "encoder"}
    return str(Path(name).with_stem(found[1] + other[found[2]])) if found else ""


def _halves(path: Path) -> tuple[Path, ...]:
    """A file alone, or with the other half of an autoencoder that lies beside it."""
    other = _other_half(path.name)
    return tuple(sorted((path, path.with_name(other)))) if other and path.with_name(other).is_file() else (path,)


def _shards(index: Path) -> tuple[Path, ...]:
    listed = read_json(index, "the list of a checkpoint's parts", _MAX_INDEX)
    parts = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(parts, dict) or not parts:
        raise CheckpointError(f"{index}: lists no parts of a checkpoint under weight_map")
    for name in parts.values():
        if not isinstance(name, str) or name != Path(name).name:
            raise CheckpointError(f"{index}: lists {name!r}, which is no file beside it")
    names = set(parts.values())
    for name in names:
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: lists {name!r}, which is not there: the download is incomplete")
    return tuple(index.parent / name for name in sorted(names))


def _beside(path: Path | PurePosixPath) -> Iterator[list]:
    """Where the network's and the scheduler's description may be."""
    yield [path.with_name(_CONFIG)]
    above = [path.parent.parent / "scheduler" / _SCHEDULER] if path.parent.name == _UNET else []
    yield [path.with_name(_SCHEDULER), path.parent / "scheduler" / _SCHEDULER, *above]


def _rank(name: str) -> tuple[bool, bool, bool] | None:
    """What comes first among the names that libraries give to weights; None for others."""
    index = INDEX.fullmatch(name)
    known = _KNOWN.fullmatch(f"{index['stem']}{index['variant'] or ''}.{index['kind']}" if index else name)
    if known is None or _SHARD.fullmatch(name):
        return None
    return known["variant"] is not None, known["kind"] == "bin", index is not None


def _is_checkpoint(name: str) -> bool:
    return name.endswith(_CHECKPOINTS) and not _NO_WEIGHTS.search(name) and not name.startswith(".")
