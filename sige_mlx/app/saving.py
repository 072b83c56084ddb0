"""What leaves the editor, and comes back: the picture that was made, and the document with what is painted on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx import zoo
from sige_mlx.app import steps
from sige_mlx.app.by_tokens import TASK
from sige_mlx.app.document import Document
from sige_mlx.app.opening import Catalogue, Opened, checked, task_of
from sige_mlx.app.results import Found, Settings
from sige_mlx.app.steps import Steps
from sige_mlx.app.subjects import Canvas, Given, OfLabels, OfPictures, Subject, size_of
from sige_mlx.editing import save_image, saved
from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.container import Container, claims, write
from sige_mlx.errors import SigeError, printable
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
    base: Picture | None
    """What the network makes of the original, where that is another picture."""
    steps: Steps

    @classmethod
    def of(cls, document: Document) -> Snapshot:
        """What a document is now. Raises `SigeError` where no picture has been made yet."""
        if not document.made:
            raise SigeError("there is no picture yet: the model makes it")
        result = document.result.copy() if document.translates else None
        settings = dataclasses.asdict(document.settings)
        given, found = document.given, document.found
        base = None if document.base is None else document.base.copy()
        of = document.name, document.subject, given, document.canvas.copy()
        return cls(*of, result, found, settings, base, Steps.of(document))


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
    """Writes the original, what is painted on it, the result and its variants, the settings, and the steps that can be
    undone and done again (of these `steps.MOST` bytes). What was recorded is not kept: a render makes it anew."""
    arrays: dict[str, Any] = {}
    told: dict[str, Any] = {"name": of.name, "kind": of.subject.kind, "settings": of.settings}
    told["given"] = saved.pack(arrays, "given", of.given)
    differs = of.canvas != of.subject.canvas(of.given)
    box = extent(differs.any(-1) if differs.ndim == 3 else differs)
    told["painted"] = box
    if box:
        arrays["painted"] = box.of(of.canvas)
    if of.base is not None:
        arrays["base"] = of.base
    told["steps"] = steps.write(arrays, of.steps)
    write(path, PURPOSE, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, told)


def open_document(path: Path, catalogue: Catalogue, device: str, budget: int) -> Document:
    """What `save_document` wrote; or the original of a session, which `sige-mlx edit --session` or `Session.save`
    wrote. What can be undone takes at most `budget` bytes. Raises `SigeError` for a file that is neither, and for one
    whose model is not here."""
    session = claims(path, saved.PURPOSE)
    file = Container(path, saved.PURPOSE if session else PURPOSE)
    with saved.understood(file):
        settings = dict(file.told["settings"])
        if session:
            settings |= dict(file.told["note"])
        model, name = str(settings.get("model")), "the session" if session else printable(str(file.told["name"]))
    catalogue.check(model)
    with saved.understood(file):
        told = {name: settings.get(name) for name in ("quality", "seed", "strength", "steps", "scale", "prompt")}
        subject, given = _given(file, model)
        kept = {name: value for name, value in told.items() if value is not None}
        of = checked(Settings(model, device, seed=0), kept, catalogue)
        opened = Opened(name, subject, given, of, task_of(model) not in ("denoising", TASK))
        document = Document(*opened, budget)
        if not session:
            _restore(document, file)
        return document


def _given(file: Container, model: str) -> tuple[Subject, Given]:
    """The original in a file, which a model can edit."""
    given = saved.unpack(file, "given", file.told["given"])
    if isinstance(given, tuple) != (task_of(model) == "labels"):
        raise SigeError(f"{file.path} is damaged: its model edits something else")
    subject: Subject = OfPictures()
    if isinstance(given, tuple):
        labels, instances = given
        if labels.shape != instances.shape or labels.ndim != 2 or not labels.size:
            raise SigeError(f"{file.path} is damaged: its label map is none")
        subject = OfLabels(zoo.classes(model))
        _check_labels(file, subject, labels)
    height, width = size_of(subject, given)
    if height * width > MOST_PIXELS:
        raise SigeError(f"{file.path} has too many pixels to edit")
    return subject, given


def _restore(document: Document, file: Container) -> None:
    """Gives a document, just made, what is painted on it and, where a file has that, its result and steps."""
    if painted := _painted(file, document.subject, document.given):
        document.repaint(*painted)
    if (told := file.told.get("steps")) is None:  # of an earlier version
        return
    if document.base is not None:
        base = file.array("base")
        if base.shape != document.base.shape or base.dtype != np.uint8:
            raise SigeError(f"{file.path} is damaged: its picture is of another size")
        document.base[...] = base
        document.made = True
    steps.read(file, told, document)
    document.show_found()


def _painted(file: Container, subject: Subject, given: Given) -> tuple[Box, Canvas] | None:
    """What is painted on an original, and where; None for nothing."""
    if not file.told["painted"]:
        return None
    box, canvas = Box(*map(int, file.told["painted"])), file.array("painted")
    like = subject.canvas(given)
    if not box.within(like.shape[:2]) or canvas.shape != (*box.size, *like.shape[2:]) or canvas.dtype != np.uint8:
        raise SigeError(f"{file.path} is damaged: what is painted is not a part of its picture")
    if isinstance(subject, OfLabels):
        _check_labels(file, subject, canvas)
    return box, canvas.copy()


def _check_labels(file: Container, subject: OfLabels, labels: npt.NDArray[Any]) -> None:
    if not 0 <= labels.min() <= labels.max() < len(subject.classes):
        raise SigeError(f"{file.path} is damaged: it has a label that its model does not know")
