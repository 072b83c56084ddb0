"""Named models, the folders they are loaded from, and the cache that converted checkpoints go to."""

import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from sige_mlx import arguments, families, paper_settings
from sige_mlx.cache import cache_folder, cached_folders
from sige_mlx.described import read_json
from sige_mlx.engine import Engine
from sige_mlx.engine.weights import Loader
from sige_mlx.errors import SigeError, first_line
from sige_mlx.graph.policy import EditPolicy, Output
from sige_mlx.label_classes import Classes, Palette, classes_of, palette_of
from sige_mlx.nn.module import parameters
from sige_mlx.published import HUB, telling_name

ASSETS = Path(__file__).parent / "assets"
"""What ships inside the package: the embedded models and the pictures of the demos."""

DEFAULT = "blue-marble-128"
"""The model of pictures that ships inside the package; its configuration lies beside its weights."""

LABELS = "blue-marble-labels-256"
"""The model of label maps that does."""

EMBEDDED = (DEFAULT, LABELS)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
LABELS_FILE = "labels.json"
"""What is in a model's folder: the network, its weights and, where label maps have colours of their own, the names and
colours of the classes."""

FORMAT = 2
"""Of `config.json`; format 1 had what edits are computed by among the network's settings."""


EDIT = (
    *("tiles_from", "statistics", "large", "large_from", "dense_from"),
    *("eps", "dilation", "dilation_per_level"),
)
"""Fields of `EditPolicy` that a model's folder may tell, where they are not the family's; the others are the caller's
to say."""


Of = TypeVar("Of", bound="Network")


@dataclass(frozen=True)
class Network:
    """A network of a family, and how edits of it are computed where nobody says otherwise."""

    name: str
    family: str
    model: mlx.nn.Module
    edit: EditPolicy

    @property
    def task(self) -> families.Task:
        """What it does."""
        return families.FAMILIES[self.family].task

    def policy(self, tiles_from: int | None = None, output: Output = "tiles", quality: str = "balanced") -> EditPolicy:
        """How edits of the network are computed; with tiles from planes of another side where one is given. Raises
        `SigeError` for a quality that there is not."""
        side = self.edit.tiles_from if tiles_from is None else tiles_from
        return replace(self.edit, output=output, tiles_from=side).of_quality(quality)

    def configured(self: Of, **settings: Any) -> Of:
        """The same in other settings, such as the `image_size` of a network that takes any. Raises `SigeError` where
        its parameters would be others."""
        return replace(self, model=families.reconfigured(self.model, **settings))


@dataclass(frozen=True)
class Pretrained(Network):
    """A network and where its weights are read from, one parameter at a time."""

    load: Loader
    classes: Classes = ()
    """What a network of label maps knows; nothing where their names and colours are not told."""

    @property
    def palette(self) -> Palette:
        """The colours of the classes."""
        return palette_of(self.classes)

    def engine(self, device: str = "cpu", policy: EditPolicy | None = None, **options: Any) -> Engine:
        """An `Engine` of the network, by default under its own policy; options are the engine's."""
        return Engine(self.model, device, policy or self.policy(), load=self.load, **options)

    def module(self) -> mlx.nn.Module:
        """The network as a plain MLX module with its weights in it."""
        self.model.load_weights([(name, mx.array(self.load(name))) for name in parameters(self.model)])
        return self.model


def names() -> list[str]:
    """What a model may be called, besides the path of its folder: the embedded ones, the published ones, and those
    converted into the cache; one of them that bears the name of an embedded one goes by its path. Raises `SigeError`
    where the cache cannot be read."""
    folders = (cache_folder() / name for name in cached_folders())
    cached = [spelled(folder) for folder in folders if os.path.isfile(folder / CONFIG_FILE)]
    return list(dict.fromkeys([*EMBEDDED, *families.KNOWN, *cached]))


def is_here(name: str) -> bool:
    """Whether the weights of a model in `names` are on this machine."""
    return name in EMBEDDED or _is_converted(name, CONFIG_FILE, WEIGHTS_FILE)


def spelled(folder: Path) -> str:
    """What a model's folder is called where a model is asked for: its name if it lies in the cache and no other model
    has that name, else its path."""
    name = folder.name
    if name not in EMBEDDED and folder == cache_folder() / name:
        return name
    path = str(folder)
    return os.path.join(os.curdir, path) if path in EMBEDDED or path in families.KNOWN else path


def load(name: str | Path) -> Pretrained:
    """A model by name (embedded or converted into the cache) or by the path of a folder with `config.json`,
    `model.safetensors` and, where label maps have colours of their own, `labels.json` (see `classes_of`). Raises
    `SigeError` when it is nowhere, or when its files do not belong together."""
    folder = _folder(name)
    of = _described(str(name), folder)
    load = _safetensors(folder / WEIGHTS_FILE, of.model)
    return Pretrained(of.name, of.family, of.model, of.edit, load, classes_of(of.model.config, folder / LABELS_FILE))


def network(name: str | Path) -> Network:
    """A model without its weights: those of a published one need not be on this machine. One that is here is what its
    folder says, whatever others were published by its name."""
    if str(name) in families.KNOWN and not _is_converted(str(name)):
        family, published = families.KNOWN[str(name)]
        model = families.build(family, dict(published.config))
        return Network(str(name), family, model, families.FAMILIES[family].policy(model.config))
    return _described(str(name), _folder(name))


def classes(name: str | Path) -> Classes:
    """The classes of a model of label maps (see `classes_of`), whose weights need not be on this machine."""
    config = network(name).model.config
    if str(name) in families.KNOWN:
        return classes_of(
            config, cache_folder() / name / LABELS_FILE if _is_converted(str(name), LABELS_FILE) else None
        )
    return classes_of(config, _folder(name) / LABELS_FILE)


def random(name: str | Path, seed: int = 0) -> Pretrained:
    """A model's network with random weights: as fast as the real one, and as memory-hungry."""
    of = network(name)
    return Pretrained(of.name, of.family, of.model, of.edit, random_weights(of.model, seed))


def random_weights(model: mlx.nn.Module, seed: int = 0) -> Loader:
    """Weights that keep activations of order one, a function of seed, name and shape alone."""
    shapes, seed = {name: tuple(p.shape) for name, p in parameters(model).items()}, arguments.seed(seed)

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
    alike, the one whose file has this MD5 or name), else the file's or, where many files are called so, the name of the
    folder or repository it is in. Raises `SigeError` for a name that is another model's already."""
    alike = {name: known for name, known in families.FAMILIES[family].published.items() if known.of(family) == config}
    for is_it in (lambda file: file.md5 is not None and file.md5 == md5, lambda file: file.called(source)):
        for name, known in alike.items():
            if any(map(is_it, known.files)):
                return name
    told = [name for name, known in alike.items() if not known.by_file]
    if len(told) == 1:
        return told[0]
    name = telling_name(source)
    if name in EMBEDDED or (name in families.KNOWN and name not in alike):
        raise SigeError(f"{source}: would be called {name}, which is the name of another model: give --out FOLDER")
    return name


def _is_converted(name: str, *files: str) -> bool:
    """Whether these files, or the configuration, are in a folder of this name in the cache."""
    try:
        folder = cache_folder() / name
    except SigeError:  # nobody says where the cache is
        return False
    return all(os.path.isfile(folder / file) for file in files or (CONFIG_FILE,))


def _described(name: str, folder: Path) -> Network:
    path = folder / CONFIG_FILE
    purpose = "a model's configuration"
    described = read_json(path, purpose)
    try:
        family, config, version = described["family"], described["config"], described.get("format", 1)
        edit = described.get("edit", {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        hint = (
            f": run `sige-mlx convert {folder}`" if isinstance(described, dict) and "_class_name" in described else ""
        )
        raise SigeError(f"{path} cannot be read as {purpose}: it has no family and config{hint}") from error
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise SigeError(
            f"{path} has format {version!r} and this version of sige-mlx reads formats 1 to {FORMAT}: convert the"
            " checkpoint again, or install the version that wrote it"
        )
    try:
        if version == 1:
            config, edit = paper_settings.parted(family, config)
        model = families.build(family, config)
        policy = families.configured(families.FAMILIES[family].policy(model.config), edit)
        return Network(name, family, model, policy)
    except SigeError as error:
        raise SigeError(f"{path}: {error}") from error


def _folder(name: str | Path) -> Path:
    if not isinstance(name, str | os.PathLike):
        raise SigeError(f"{name!r} is no model: give a model's name or the path of its folder")
    if str(name) in EMBEDDED:
        return ASSETS / name
    if str(name) in families.KNOWN:
        cached = cache_folder() / name
        if not os.path.isdir(cached):
            cached_folders()  # says so if the cache may not be looked into
            raise SigeError(_how_to_get(str(name), cached))
        return cached
    folder = Path(os.path.expanduser(name))
    if str(name).startswith(HUB):
        raise SigeError(f"{name} is a repository: run `sige-mlx convert {name}` and give the name that it prints")
    if os.path.isfile(folder):
        raise SigeError(f"{folder} is a file: run `sige-mlx convert {folder} --out FOLDER` and give the folder")
    if os.path.isfile(folder / CONFIG_FILE):
        return folder
    known = names()  # says so if the cache may not be looked into
    if os.path.isfile(cached := cache_folder() / name / CONFIG_FILE):
        return cached.parent
    raise SigeError(
        f"{str(name)!r} is neither a model's name ({', '.join(known)}) nor a folder with {CONFIG_FILE} and"
        f" {WEIGHTS_FILE}"
    )


def _how_to_get(name: str, folder: Path) -> str:
    """What to do for the weights of a published model, which go to `folder`."""
    files = families.KNOWN[name][1].files
    if not files:
        return f"no checkpoint of {name} was published: `sige-mlx convert` puts one of yours into {folder}"
    hub = next((f"run `sige-mlx convert {file.name}`, or " for file in files if file.on_hub), "")
    file = next((file for file in files if not file.on_hub), files[0])
    return (
        f"the weights of {name} are not on this machine: {hub}get {file.name} from {file.place} and run"
        f" `sige-mlx convert {Path(file.name).name}`, which puts them into {folder}"
    )


def _safetensors(path: Path, model: mlx.nn.Module) -> Loader:
    try:
        file = safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise SigeError(f"{path} cannot be read as safetensors: {first_line(error)}") from error
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
