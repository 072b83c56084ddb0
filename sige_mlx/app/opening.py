"""What can be opened: models by name, pictures in the package, and files that a page has sent. A page says what, never
where: no name that it gives is a path."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from sige_mlx import arguments, families, zoo
from sige_mlx.app import by_tokens
from sige_mlx.app.results import Settings
from sige_mlx.app.subjects import Given, OfLabels, OfPictures, Subject
from sige_mlx.editing.images import Source
from sige_mlx.editing.labels import MapReader
from sige_mlx.editing.windows import MOST
from sige_mlx.engine import DEVICES
from sige_mlx.errors import SigeError, first_line
from sige_mlx.graph.policy import QUALITIES
from sige_mlx.token_models import MODELS

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
"""Pillow's names of the formats that pages may send."""

WORDS = {
    "denoising": "renders what is painted on a picture",
    "labels": "makes a picture of a label map",
    "translation": "translates a picture into another",
}
"""What networks do, by task."""


class Scene(NamedTuple):
    """A picture in the package."""

    file: str
    title: str
    model: str


GALLERY = {
    "sea": Scene("demo/original.png", "Open sea", zoo.DEFAULT),
    "islands": Scene("demo/labels.png", "A label map of islands", zoo.LABELS),
    "continents": Scene("held-out/picture.jpg", "Europe and Africa, larger than the model's pictures", zoo.DEFAULT),
}
"""By name. NASA's Blue Marble, public domain."""


class Opened(NamedTuple):
    """What a document is made of."""

    name: str
    subject: Subject
    given: Given
    settings: Settings
    translates: bool


class Catalogue:
    """The models that may be asked for: those whose weights are here, and one more that the user has named."""

    def __init__(self, own: str | None = None):
        self.own = own
        self.usual = zoo.DEFAULT if own is None else own

    def models(self) -> list[dict[str, Any]]:
        """All that have a name, with whether their weights are here, and the size of their pictures."""
        try:
            names = zoo.names()
        except SigeError:  # the cache cannot be read: the others are there all the same
            names = [*zoo.EMBEDDED, *families.KNOWN]
        told = []
        own = [self.own] if self.own and self.own not in MODELS else []
        for name in dict.fromkeys([*own, *names]):
            try:
                described = _described(name)
            except SigeError:
                continue
            told.append({**described, "name": name, "here": name == self.own or zoo.is_here(name)})
        return told + by_tokens.models(self.own)

    def check(self, name: str) -> str:
        """The name, if it is one of a model that is here. Raises `SigeError` for any other."""
        here = [model["name"] for model in self.models() if model["here"]]
        if name not in here:
            raise SigeError(f"there is no model {name!r} here: there are {', '.join(here)}")
        return name


@lru_cache
def _described(name: str) -> dict[str, Any]:
    network = zoo.network(name)
    height, width = next(shape for shape in network.model.inputs().values() if len(shape) == 4)[1:3]
    kind = "labels" if network.task == "labels" else "picture"
    any_size = network.task == "translation"
    about = f"{WORDS[network.task]}; pictures of " + ("any size" if any_size else f"{width} × {height}")
    return {"kind": kind, "task": network.task, "size": [width, height], "about": about}


def opened(path: Path, name: str, model: str, device: str, formats: tuple[str, ...] | None = None) -> Opened:
    """A picture, or a label map where the model reads those, in a file that is called `name`; of some formats alone, by
    Pillow's names, if they are given. Raises `SigeError` for what it is not, before it is decoded where that can be
    known."""
    try:
        if formats:
            _check_format(path, name, formats)
        return _opened(path, name, model, Settings(model, device))
    except SigeError as error:
        raise SigeError(str(error).replace(str(path), name)) from error


def of_gallery(name: str, model: str | None, device: str) -> Opened:
    """A picture in the package. Raises `SigeError` for one that there is not."""
    scene = scene_of(name)
    return opened(file_of(scene), scene.title, model or scene.model, device)


def scene_of(name: str) -> Scene:
    """A picture in the package by name. Raises `SigeError` for one that there is not."""
    if name not in GALLERY:
        raise SigeError(f"there is no picture {name!r}: there are {', '.join(GALLERY)}")
    return GALLERY[name]


def checked(settings: Settings, changed: dict[str, Any], catalogue: Catalogue) -> Settings:
    """Settings with some changed. Raises `SigeError` for what a network cannot take."""
    known = {of.name: changed[of.name] for of in fields(settings) if of.name in changed}
    for name, allowed in (("quality", QUALITIES), ("device", DEVICES)):
        if name in known and known[name] not in allowed:
            raise SigeError(f"the {name} is {known[name]!r}: it must be one of {', '.join(allowed)}")
    model = str(known.get("model", settings.model))
    if model != settings.model:
        catalogue.check(model)
        _check_same(settings.model, model)
    if model in MODELS:
        return by_tokens.checked(replace(settings, **known))
    made = replace(settings, **{**known, "prompt": None})
    network = zoo.network(made.model)
    denoising = families.FAMILIES[network.family].denoising
    scale = None if made.scale is None else arguments.real(made.scale, "the scale", 1, MOST)
    if denoising is None:
        scale = scale if network.task == "translation" else None
        return replace(made, seed=None, strength=None, steps=None, scale=scale)
    arguments.whole(made.seed, "the seed", 0, 2**32 - 1)
    config = network.model.config
    if made.model != settings.model and not {"steps", "strength"} & known.keys():
        made = replace(made, steps=None, strength=None)
    if made.steps is not None:
        arguments.whole(made.steps, "the number of steps", 1, 1000)
    found = denoising.of((config.in_ch, config.out_ch), None, made.steps, made.strength)
    return replace(made, steps=len(found.levels), strength=float(found.strength), scale=scale)


def task_of(model: str) -> str:
    """What a model does: the task of a network, or that of models that edit by tokens."""
    return by_tokens.TASK if model in MODELS else zoo.network(model).task


def _check_same(model: str, other: str) -> None:
    """Raises `SigeError` unless two models do the same."""
    if task_of(model) != task_of(other) or (model not in MODELS and zoo.classes(model) != zoo.classes(other)):
        raise SigeError(f"{other} does something else than {model}: open the picture with it instead")


def _opened(path: Path, name: str, model: str, settings: Settings) -> Opened:
    task = task_of(model)
    if task == "labels":
        network = zoo.network(model)
        classes = zoo.classes(model)
        if not 0 < len(classes) <= 256:
            raise SigeError(f"nobody told the names and colours of the classes of {model}: put labels.json beside it")
        subject = OfLabels(classes)
        maps = MapReader(network.model.config, None, tuple(of.colour for of in classes)).read(path, None)
        return Opened(name, subject, maps, settings, True)
    source = Source.of(path, name=name)
    notes = tuple(note.replace(str(path), name) for note in source.notes)
    source = replace(source, name=name, notes=notes)
    if task == by_tokens.TASK:
        return Opened(name, OfPictures(), source, by_tokens.usual(model, settings.device), False)
    network = zoo.network(model)
    denoising = families.FAMILIES[network.family].denoising
    if denoising is not None:
        config = network.model.config
        usual = denoising.of((config.in_ch, config.out_ch))
        settings = replace(settings, seed=0, strength=float(usual.strength), steps=len(usual.levels))
    return Opened(name, OfPictures(), source, settings, denoising is None)


def _check_format(path: Path, name: str, formats: tuple[str, ...]) -> None:
    """Raises `SigeError` unless a file begins like a picture of one of these formats."""
    try:
        with Image.open(path, formats=formats):
            pass
    except Image.DecompressionBombError:
        raise SigeError(f"{name} has too many pixels to edit") from None
    except Exception as error:  # decoders raise anything on files that were made to do harm
        raise SigeError(f"{name} is no PNG, JPEG, WebP or TIFF picture ({first_line(error)})") from None


def file_of(scene: Scene) -> Path:
    """Where a picture in the package is."""
    return zoo.ASSETS / scene.file


def kind_of(model: str) -> str:
    """The kind of document that a model edits."""
    return str(_described(model)["kind"])
