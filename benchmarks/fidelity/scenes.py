"""Models with trained weights, and edits of pictures and label maps that they know."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.trained import sources
from benchmarks.trained.edits import KINDS, edited
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.baselines import Session
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.pictures import open_image
from sige_mlx.zoo import Pretrained

MODELS = (zoo.DEFAULT, zoo.LABELS, sources.MODEL)

RELABELLED = "relabelled"


@dataclass(frozen=True)
class Scene:
    """An original that is open for editing under every policy, and how it is edited."""

    name: str
    kinds: tuple[str, ...]
    open: Callable[[Engine], Session] = field(repr=False)
    edited: Callable[[str, float, int], Any] = field(repr=False)
    """By kind, percent of the pixels and seed: what `edit` of its sessions takes."""


def pretrained(model: str, size: int) -> Pretrained:
    """A model by name; the one that translates for pictures of `size` pixels a side. Raises `SigeError` for another
    name, and where the package that has its weights is not installed."""
    if model not in MODELS:
        raise SigeError(f"there are no trained weights of {model!r}: choose of {', '.join(MODELS)}")
    return sources.pretrained(size) if model == sources.MODEL else zoo.load(model)


def scenes(model: str, size: int, steps: int) -> Iterator[Scene]:
    """The originals of a model."""
    if model == zoo.LABELS:
        labels = np.asarray(open_image(zoo.ASSETS / "demo" / "labels.png").convert("RGB"))
        palette = zoo.load(model).palette
        for name, turned in _turned(labels).items():
            open_labels = partial(_open_labels, turned, palette)
            yield Scene(f"map {name}", (RELABELLED,), open_labels, partial(_relabelled, turned))
        return
    translates = model == sources.MODEL
    if translates:
        pictures: dict[str, Any] = {name: sources.photograph(name, size) for name in sources.PHOTOGRAPHS}
    else:
        pictures = _turned(np.asarray(open_image(zoo.ASSETS / "demo" / "original.png").convert("RGB")))
    for name, picture in pictures.items():
        make: Callable[..., Session] = TranslationSession if translates else partial(EditSession, steps=steps)
        yield Scene(name, tuple(KINDS), partial(make, original=picture), partial(edited, picture))


def _open_labels(labels: Any, palette: Any, engine: Engine) -> LabelSession:
    return LabelSession(engine, labels, palette=palette)


def _turned(picture: Any) -> dict[str, Any]:
    """Seen from above there is no up: turned, a picture is another."""
    return {"upright": picture, "a quarter turned": np.rot90(picture).copy(), "mirrored": picture[:, ::-1].copy()}


def _relabelled(labels: Any, kind: str, percent: float, seed: int) -> Any:
    """The map with a blob that has another class, one of its own."""
    classes = np.unique(labels.reshape(-1, labels.shape[-1]), axis=0)
    colour = classes[np.random.default_rng(seed).integers(len(classes))]
    return np.where(blob_mask(labels.shape[:2], percent, seed=seed)[..., None], colour, labels)
