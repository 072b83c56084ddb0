"""What leaves the editor, and comes back: the picture that was made, and the document with what is painted on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sige_mlx import zoo
from sige_mlx.app.document import Document, Found, Settings
from sige_mlx.app.opening import Catalogue, Opened, checked
from sige_mlx.app.subjects import Canvas, Given, OfLabels, OfPictures, Subject, size_of
from sige_mlx.editing import save_image
from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.container import Container, write
from sige_mlx.editing.saved import pack, understood, unpack
from sige_mlx.errors import SigeError
from sige_mlx.pictures import MOST_PIXELS

PURPOSE = "a document of the editor"
FORMATS = {"png": ("image/png", ".png"), "jpeg": ("image/jpeg", ".jpg"), "tiff": ("image/tiff", ".tiff")}
"""What pictures are saved as: the kind of file, and its extension."""


class Snapshot(NamedTuple):
    """A document at a moment, for another thread to write."""

    name: str
    subject: Subject
    given: Given
    canvas: Canvas
    result: Picture | None
    """None where it is the original."""
    found: Found | None
    settings: dict[str, Any]

    @classmethod
    def of(cls, document: Document) -> Snapshot:
        """What a document is now. Raises `SigeError` where no picture has been made yet."""
        if not document.made:
            raise SigeError("there is no picture yet: the model makes it")
        result = document.result.copy() if document.translates else None
        settings = dataclasses.asdict(document.settings)
        given, found = document.given, document.found
        return cls(document.name, document.subject, given, document.canvas.copy(), result, found, settings)


def save_picture(of: Snapshot, path: Path) -> None:
    """Writes the result, or the original where there is none, with all that a file of the original has."""
    given = of.given
    if of.found and of.found.part:
        given = of.found.part.into(of.subject, given)
    if isinstance(of.subject, OfLabels):
        assert of.result is not None
        image = Image.fromarray(of.result)
    elif of.result is not None:
        image = given.changed(of.result, np.ones(of.result.shape[:2], np.bool_)).image
    else:
        image = given.image
    save_image(image, path)


def save_document(of: Snapshot, path: Path) -> None:
    """Writes the original, what is painted on it and the settings. What was recorded, the result and the steps that
    could be undone are not kept: a render makes the first two anew."""
    arrays: dict[str, Any] = {}
    told: dict[str, Any] = {"name": of.name, "kind": of.subject.kind, "settings": of.settings}
    told["given"] = pack(arrays, "given", of.given)
    differs = of.canvas != of.subject.canvas(of.given)
    box = extent(differs.any(-1) if differs.ndim == 3 else differs)
    told["painted"] = box
    if box:
        arrays["painted"] = box.of(of.canvas)
    write(path, PURPOSE, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, told)


def open_document(path: Path, catalogue: Catalogue, device: str) -> tuple[Opened, tuple[Box, Canvas] | None]:
    """What `save_document` wrote: what it is made of, and what is painted on it. Raises `SigeError` for a file that is
    none, and for one whose model is not here."""
    file = Container(path, PURPOSE)
    with understood(file):
        settings = dict(file.told["settings"])
        model = str(settings.get("model"))
    catalogue.check(model)
    with understood(file):
        kept = {name: settings.get(name) for name in ("quality", "seed", "strength", "steps", "scale")}
        network = zoo.network(model)
        subject: Subject = OfPictures()
        given = unpack(file, "given", file.told["given"])
        if isinstance(given, tuple) != (network.task == "labels"):
            raise SigeError(f"{path} is damaged: its model edits something else")
        if isinstance(given, tuple):
            subject = OfLabels(zoo.classes(model))
            labels, instances = given
            if labels.shape != instances.shape or labels.ndim != 2 or not labels.size:
                raise SigeError(f"{path} is damaged: its label map is none")
            if not 0 <= labels.min() <= labels.max() < len(zoo.classes(model)):
                raise SigeError(f"{path} has a label that {model} does not know")
        size = size_of(subject, given)
        if size[0] * size[1] > MOST_PIXELS:
            raise SigeError(f"{path} has too many pixels to edit")
        made = Opened("", subject, given, _settings(model, device, kept, catalogue), network.task != "denoising")
        painted = None
        if file.told["painted"]:
            box, canvas = Box(*map(int, file.told["painted"])), file.array("painted")
            like = subject.canvas(given)
            if not box.within(size) or canvas.shape != (*box.size, *like.shape[2:]) or canvas.dtype != np.uint8:
                raise SigeError(f"{path} is damaged: what is painted is not a part of its picture")
            if isinstance(subject, OfLabels) and canvas.max() >= len(subject.classes):
                raise SigeError(f"{path} has a label that {model} does not know")
            painted = box, canvas.copy()
        return made._replace(name=str(file.told["name"])[:200]), painted


def _settings(model: str, device: str, kept: dict[str, Any], catalogue: Catalogue) -> Settings:
    """The settings that a file tells, if a network of the model can take them."""
    told = {name: value for name, value in kept.items() if value is not None}
    return checked(Settings(model, device, seed=0), told, catalogue)
