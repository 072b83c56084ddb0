"""Named models, the folders they are loaded from, and the cache that converted checkpoints go to."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from sige_mlx.engine import Engine
from sige_mlx.engine.native.weights import Loader
from sige_mlx.errors import SigeError
from sige_mlx.models import build
from sige_mlx.nn.module import parameters

DEFAULT = "blue-marble-128"
"""The model that ships inside the package."""

KNOWN: Mapping[str, tuple[str, dict[str, Any]]] = {
    DEFAULT: ("ddpm", {}),
    "ddpm-church-256": ("ddpm", {}),
}
"""Family and configuration of the models that have a name; the embedded one's configuration lies beside its weights."""


@dataclass(frozen=True)
class Pretrained:
    """A network and where its weights are read from, one parameter at a time."""

    name: str
    family: str
    model: mlx.nn.Module
    load: Loader

    def engine(self, device: str = "cpu", **options: Any) -> Engine:
        """An `Engine` of the network; options are the engine's."""
        return Engine(self.model, device, load=self.load, **options)

    def module(self) -> mlx.nn.Module:
        """The network as a plain MLX module with its weights in it."""
        self.model.load_weights([(name, mx.array(self.load(name))) for name in parameters(self.model)])
        return self.model


def cache_folder() -> Path:
    """Where converted models are kept: SIGE_MLX_CACHE, or `~/.cache/sige-mlx`."""
    return Path(os.environ.get("SIGE_MLX_CACHE") or Path.home() / ".cache" / "sige-mlx")


def load(name: str | Path) -> Pretrained:
    """A model by name (embedded or converted into the cache) or by the path of a folder with `config.json` and
    `model.safetensors`. Raises `SigeError` when it is nowhere, or when its files do not belong together."""
    folder = _folder(name)
    try:
        described = json.loads((folder / "config.json").read_text())
        family, config = described["family"], described["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SigeError(f"{folder / 'config.json'} cannot be read as a model's configuration: {error}") from error
    model = build(family, config)
    return Pretrained(str(name), family, model, _safetensors(folder / "model.safetensors", model))


def random(name: str, seed: int = 0) -> Pretrained:
    """A named model's network with random weights: as fast as the real one, and as memory-hungry."""
    if name == DEFAULT:
        described = json.loads((_folder(name) / "config.json").read_text())
        model = build(described["family"], described["config"])
        return Pretrained(name, described["family"], model, _random(model, seed))
    if name not in KNOWN:
        raise SigeError(f"the model {name!r} is not known: it must be one of {', '.join(KNOWN)}")
    family, config = KNOWN[name]
    model = build(family, config)
    return Pretrained(name, family, model, _random(model, seed))


def _folder(name: str | Path) -> Path:
    embedded = Path(str(resources.files("sige_mlx"))) / "assets" / str(name)
    if str(name) == DEFAULT:
        return embedded
    if str(name) in KNOWN:
        folder = cache_folder() / str(name)
        if not folder.is_dir():
            raise SigeError(
                f"the weights of {name} are not on this machine: get the checkpoint from its authors and run"
                f" `sige-mlx convert CHECKPOINT`, which puts them into {folder}"
            )
        return folder
    folder = Path(name)
    if folder.is_file():
        raise SigeError(f"{folder} is a file: run `sige-mlx convert {folder} --out FOLDER` and give the folder")
    if not (folder / "config.json").is_file():
        raise SigeError(
            f"{name} is neither a known model ({', '.join(KNOWN)}) nor a folder with config.json and model.safetensors"
        )
    return folder


def _safetensors(path: Path, model: mlx.nn.Module) -> Loader:
    try:
        file = safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise SigeError(f"{path} cannot be read as safetensors: {error}") from error
    wanted = {name: tuple(p.shape) for name, p in parameters(model).items()}
    found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, a method, not a dict's
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise SigeError(
                f"{path}: {name} is {found.get(name, 'missing')}, the configuration wants {wanted.get(name, 'none')}"
            )
    def read(name: str) -> npt.NDArray[np.generic]:
        tensor: npt.NDArray[np.generic] = file.get_tensor(name)
        return tensor

    return read


def _random(model: mlx.nn.Module, seed: int) -> Loader:
    shapes = {name: tuple(p.shape) for name, p in parameters(model).items()}

    def make(name: str) -> npt.NDArray[np.float32]:
        """Weights that keep activations of order one, a function of seed, name and shape alone."""
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = shapes[name]
        weights: npt.NDArray[np.float32] = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            weights *= np.float32((0.6 / np.prod(shape[1:])) ** 0.5)
        else:
            weights *= np.float32(0.05)
            weights += np.float32("norm" in name and name.endswith(".weight"))
        return weights

    return make
