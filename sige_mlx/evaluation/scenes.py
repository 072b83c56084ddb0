"""Where the originals of synthetic edits come from: pictures or label maps of a folder, or what is in the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.label_maps import Ids, read_instances, read_map
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.cases import TRUTH, checksum, content, digest, files_in, part_folders
from sige_mlx.pictures import Size, open_image
from sige_mlx.zoo import Pretrained

HELD_OUT = zoo.ASSETS / "held-out"
"""A strip of the Blue Marble that the embedded models have not seen, and its label map."""


@dataclass(frozen=True)
class Scene:
    """What an edit is made of: a picture (H, W, 3), or the ids of a label map and perhaps of its instances and the
    picture that belongs to them."""

    name: str
    picture: Picture | None = None
    labels: Ids | None = None
    instances: Ids | None = None


class Scenes(Protocol):
    """Scenes of one size; `draw` takes one of them at random."""

    def draw(self, rng: np.random.Generator) -> Scene: ...

    @property
    def identity(self) -> str: ...


def scenes_for(pretrained: Pretrained, folder: Path | None) -> Scenes:
    """Scenes that a model takes: of the files in a folder, or without one, for the embedded models, of the package.
    Raises `SigeError` where there are none."""
    size = size_of(pretrained)
    of_labels = pretrained.task == "labels"
    if folder is None:
        if pretrained.name not in zoo.EMBEDDED:
            kind = "label maps" if of_labels else "pictures"
            raise SigeError(f"{pretrained.name} has no {kind} in the package to make edits of: give a folder of them")
        return Strip(size, of_labels)
    folders = part_folders(folder) if folder.is_dir() else {}
    found = {role: files_in(inner) for role, inner in folders.items()} or {"original": files_in(folder)}
    if not found.get("original"):
        raise SigeError(f"{folder} holds no pictures to make edits of")
    if of_labels and len(found["original"]) < 2:
        raise SigeError(f"{folder} holds one label map: an edit moves a segment of one map into another")
    return Folder(found, pretrained if of_labels else None, size)


def size_of(pretrained: Pretrained) -> Size:
    """(H, W) of what a model takes."""
    height, width = next(s for s in pretrained.model.inputs().values() if len(s) == 4)[1:3]
    return height, width


@dataclass(frozen=True)
class Folder:
    """Scenes of files, by part and name. Pictures are cut square, or as the model's are, and resized; maps must have
    the model's size."""

    files: Mapping[str, Mapping[str, Path]]
    labels_of: Pretrained | None
    size: Size

    def draw(self, rng: np.random.Generator) -> Scene:
        names = list(self.files["original"])
        name = names[rng.integers(len(names))]
        path = self.files["original"][name]
        if self.labels_of is None:
            return Scene(name, fitted(open_image(path).convert("RGB"), self.size))
        labels = read_map(content(path), self.size, str(path), self.labels_of.palette, self.labels_of.model.config)
        instances, truth = (self.files.get(role, {}).get(name) for role in ("instances", TRUTH))
        return Scene(
            name,
            fitted(open_image(truth).convert("RGB"), self.size) if truth else None,
            labels,
            read_instances(content(instances), self.size, str(instances)) if instances else None,
        )

    @property
    def identity(self) -> str:
        """Of names and contents."""
        return digest((role, *of) for role, paths in sorted(self.files.items()) for of in sorted(paths.items()))


def fitted(image: Image.Image, size: Size) -> Picture:
    """The middle of a picture in the shape of a model's, at its size."""
    height, width = size
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box))


class Strip:
    """Crops of the strip in the package, anywhere in it."""

    def __init__(self, size: Size, of_labels: bool):
        self.size, self.of_labels = size, of_labels
        read: Callable[[str], Any] = lambda name: np.asarray(open_image(HELD_OUT / name))  # noqa: E731
        self._picture, self._labels = read("picture.jpg"), read("labels.png").astype(np.int32)

    def draw(self, rng: np.random.Generator) -> Scene:
        height, width = self.size
        top, left = (int(rng.integers(whole - part + 1)) for whole, part in zip(self._labels.shape, self.size))  # noqa: B905
        part = slice(top, top + height), slice(left, left + width)
        return Scene(f"{left},{top}", self._picture[part], self._labels[part] if self.of_labels else None)

    @property
    def identity(self) -> str:
        """Of the files."""
        return "".join(checksum(HELD_OUT / name) for name in ("picture.jpg", "labels.png"))
