"""Named models, the folders they are loaded from, and the cache that converted checkpoints go to."""

import json
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from sige_mlx.cache import cache_folder
from sige_mlx.engine import Engine
from sige_mlx.engine.native.weights import Loader
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy, Output
from sige_mlx.label_classes import Classes, Palette, classes_of, palette_of
from sige_mlx.models import build, reconfigured
from sige_mlx.nn.module import parameters
from sige_mlx.published import KNOWN

ASSETS = Path(__file__).parent / "assets"
"""What ships inside the package: the embedded models and the pictures of the demos."""

DEFAULT = "blue-marble-128"
"""The model of pictures that ships inside the package; its configuration lies beside its weights."""

LABELS = "blue-marble-labels-256"
"""The model of label maps that does."""

EMBEDDED = (DEFAULT, LABELS)

LABELS_FILE = "labels.json"
"""Names and colours of a model's classes, in its folder."""

_GENERIC = re.compile(r"(?:latest|\d+)_net_G(_A|_B)?")
"""Names that training gives to every generator, in a folder whose name tells more."""


@dataclass(frozen=True)
class Pretrained:
    """A network and where its weights are read from, one parameter at a time."""

    name: str
    family: str
    model: mlx.nn.Module
    load: Loader
    classes: Classes = ()
    """What a network of label maps knows; nothing where their names and colours are not told."""

    @property
    def palette(self) -> Palette:
        """The colours of the classes."""
        return palette_of(self.classes)

    def policy(self, tiles_from: int | None = None, output: Output = "tiles") -> EditPolicy:
        """How edits of the network are computed; with tiles from planes of another side where one is given."""
        return EditPolicy.of(self.model.config, tiles_from, output)

    def engine(self, device: str = "cpu", policy: EditPolicy | None = None, **options: Any) -> Engine:
        """An `Engine` of the network, by default under its own policy; options are the engine's."""
        return Engine(self.model, device, policy or self.policy(), load=self.load, **options)

    def configured(self, **settings: Any) -> "Pretrained":
        """The same weights in a network with other settings, such as the `image_size` of one that takes any. Raises
        `SigeError` when they do not fit in."""
        return replace(self, model=reconfigured(self.model, **settings))

    def module(self) -> mlx.nn.Module:
        """The network as a plain MLX module with its weights in it."""
        self.model.load_weights([(name, mx.array(self.load(name))) for name in parameters(self.model)])
        return self.model


def names() -> list[str]:
    """What a model may be called, besides the path of its folder: the embedded ones, the published ones, and those
    converted into the cache."""
    cached = sorted(folder.parent.name for folder in cache_folder().glob("*/config.json"))
    return list(dict.fromkeys([*EMBEDDED, *KNOWN, *cached]))


def is_here(name: str) -> bool:
    """Whether the weights of a model in `names` are on this machine."""
    folder = cache_folder() / name
    return name in EMBEDDED or all((folder / file).is_file() for file in ("config.json", "model.safetensors"))


def load(name: str | Path) -> Pretrained:
    """A model by name (embedded or converted into the cache) or by the path of a folder with `config.json`,
    `model.safetensors` and, where label maps have colours of their own, `labels.json` (see `classes_of`). Raises
    `SigeError` when it is nowhere, or when its files do not belong together."""
    folder = _folder(name)
    family, model = _described(folder)
    load = _safetensors(folder / "model.safetensors", model)
    return Pretrained(str(name), family, model, load, classes_of(model.config, folder / LABELS_FILE))


def network(name: str | Path) -> tuple[str, mlx.nn.Module]:
    """Family and network of a model, without its weights: those of a published one need not be on this machine."""
    if str(name) in KNOWN:
        published = KNOWN[str(name)]
        return published.family, published.network()
    return _described(_folder(name))


def classes(name: str | Path) -> Classes:
    """The classes of a model of label maps (see `classes_of`), whose weights need not be on this machine."""
    folder = cache_folder() / name if str(name) in KNOWN else _folder(name)
    return classes_of(network(name)[1].config, folder / LABELS_FILE)


def random(name: str | Path, seed: int = 0) -> Pretrained:
    """A model's network with random weights: as fast as the real one, and as memory-hungry."""
    family, model = network(name)
    return Pretrained(str(name), family, model, random_weights(model, seed))


def random_weights(model: mlx.nn.Module, seed: int = 0) -> Loader:
    """Weights that keep activations of order one, a function of seed, name and shape alone."""
    shapes = {name: tuple(p.shape) for name, p in parameters(model).items()}

    def make(name: str) -> npt.NDArray[np.generic]:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = shapes[name]
        drawn = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            return drawn * np.float32((0.6 / np.prod(shape[1:])) ** 0.5)
        around_one = name.endswith(".running_var") or ("norm" in name and name.endswith(".weight"))
        return 0.05 * drawn + np.float32(around_one)

    return make


def name_for(family: str, config: Any, source: Path, md5: str | None = None) -> str:
    """What to call a converted model in the cache: the published one's name if it is that network (where others are
    alike, the one whose file has this MD5 or name), else the file's, or its folder's where many files are called so."""
    alike = {
        name: known for name, known in KNOWN.items() if known.family == family and known.network().config == config
    }
    for is_it in (lambda file: file.md5 is not None and file.md5 == md5, lambda file: file.called(source)):
        for name, known in alike.items():
            if any(map(is_it, known.files)):
                return name
    told = [name for name, known in alike.items() if not known.by_file]
    if len(told) == 1:
        return told[0]
    generic = _GENERIC.fullmatch(source.stem)
    folder = source.absolute().parent.name
    return f"{folder}{generic[1] or ''}" if generic and folder else source.stem


def _described(folder: Path) -> tuple[str, mlx.nn.Module]:
    path = folder / "config.json"
    try:
        described = json.loads(path.read_text())
        family, config = described["family"], dict(described["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SigeError(f"{path} cannot be read as a model's configuration: {error!r}") from error
    try:
        return family, build(family, config)
    except SigeError as error:
        raise SigeError(f"{path}: {error}") from error


def _folder(name: str | Path) -> Path:
    if str(name) in EMBEDDED:
        return ASSETS / name
    folder, cached = Path(name), cache_folder() / name
    if str(name) in KNOWN:
        if not cached.is_dir():
            published = KNOWN[str(name)]
            if not published.files:
                raise SigeError(
                    f"no checkpoint of {name} was published: `sige-mlx convert` puts one of yours into {cached}"
                )
            file = published.files[0]
            raise SigeError(
                f"the weights of {name} are not on this machine: get {file.name} from {file.place} and run"
                f" `sige-mlx convert {file.name}`, which puts them into {cached}"
            )
        return cached
    if folder.is_file():
        raise SigeError(f"{folder} is a file: run `sige-mlx convert {folder} --out FOLDER` and give the folder")
    for candidate in (folder, cached):
        if (candidate / "config.json").is_file():
            return candidate
    raise SigeError(
        f"{str(name)!r} is neither a model's name ({', '.join(names())})"
        " nor a folder with config.json and model.safetensors"
    )


def _safetensors(path: Path, model: mlx.nn.Module) -> Loader:
    try:
        file = safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise SigeError(f"{path} cannot be read as safetensors: {error}") from error
    wanted = {name: tuple(p.shape) for name, p in parameters(model).items()}
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, a method, not a dict's
    found = {name: tuple(part.get_shape()) for name, part in slices.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise SigeError(
                f"{path}: {name} is {found.get(name, 'missing')}, the configuration wants {wanted.get(name, 'none')}"
            )
        if (dtype := slices[name].get_dtype()) not in ("F32", "F16"):
            raise SigeError(f"{path}: {name} is {dtype} where F32 or F16 would be right")

    def read(name: str) -> npt.NDArray[np.generic]:
        tensor: npt.NDArray[np.generic] = file.get_tensor(name)
        return tensor

    return read
