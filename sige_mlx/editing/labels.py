"""Editing the label map behind a picture: record the network on the original map once, then recompute only what an
edited map changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx import families
from sige_mlx.arguments import whole
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.label_maps import (
    CITYSCAPES,
    Ids,
    edges,
    encode,
    read_instances,
    read_map,
)
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.editing.windows import Window, over
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.label_classes import Palette
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import ImageLike, Size
from sige_mlx.zoo import LABELS

Maps = tuple[Ids, Ids]
"""Labels and instances."""


def check_reads_maps(config: Any) -> None:
    """Raises `SigeError` for a network that reads no label maps."""
    if families.of(config).task != "labels":
        raise SigeError(f"this model reads pictures: label maps are for {LABELS}, gaugan-cityscapes and their like")


class MapReader:
    """How label maps of `size` (H, W), or of any where there is none, are read for a network; coloured maps are in the
    colours of `palette`. Raises `SigeError` for a network that reads no label maps."""

    def __init__(self, config: Any, size: Size | None, palette: Palette):
        check_reads_maps(config)
        self.config, self.size, self.palette = config, size, palette

    def read(self, labels: ImageLike, instances: ImageLike | None, original: Maps | None = None) -> Maps:
        """The maps as ids, in arrays of their own; of an edit of `original`, instances are its where the class is, if
        they are not given. Raises `SigeError` for maps that do not fit the network."""
        which = "original" if original is None else "edited"
        size = self.size if original is None else original[0].shape
        ids = read_map(labels, size, f"the {which} label map", self.palette, self.config)
        if instances is not None:
            if self.config.no_instance:
                raise SigeError("this network sees no instances: it takes a label map alone")
            return ids, read_instances(instances, ids.shape, f"the {which} instance map")
        return ids, ids if original is None else np.where(ids == original[0], original[1], ids)

    def mask(self, original: Maps, edited: Maps, dilation: int) -> npt.NDArray[np.bool_]:
        """What an edit recomputes: where class or instance edge differ, grown by `dilation` pixels. Bool (H, W)."""
        changed = original[0] != edited[0]
        if not self.config.no_instance:
            changed |= edges(original[1]) != edges(edited[1])
        return dilate(changed, dilation)


class LabelSession(OnePassSession[Maps]):
    """A label map open for editing.

    `labels` are the classes of all pixels (see `label_maps.read_map`; coloured ones are in the colours of `palette`),
    `instances` say which object each belongs to (see `read_instances`): Pillow images, arrays or paths of files, of any
    size. A map of another size than the engine's is seen whole, at a scale where it is larger, and its picture is
    enlarged to its size. Without instances every area of one class is an object. `dilation` is by how many pixels the
    mask of an edit grows, by default the model's; `history` is how many bytes undoing may keep. Raises `SigeError` for
    maps that do not fit the network, and for a network that reads no label maps.

        model = sige_mlx.load("blue-marble-labels-256")
        coast = sige_mlx.LabelSession(model.engine, "labels.png", palette=model.pretrained.palette)
    """

    def __init__(
        self,
        engine: Engine,
        labels: ImageLike,
        instances: ImageLike | None = None,
        *,
        palette: Palette = CITYSCAPES,
        dilation: int | None = None,
        history: int | None = None,
    ):
        self._palette = palette
        self._reader = MapReader(engine.config, None, palette)
        if engine.config.output_nc != 3:
            raise SigeError(f"this network writes {engine.config.output_nc} channels: pictures need 3")
        self.dilation = whole(engine.policy.dilation if dilation is None else dilation, "the dilation", 0)
        maps = self._reader.read(labels, instances)
        super().__init__(engine, maps, over(maps[0].shape, engine.image_size, exact=True), history)

    @property
    def original(self) -> Maps:
        """The map before any edit."""
        return self.given

    @property
    def labels(self) -> Ids:
        """Those of the original."""
        return self.given[0]

    @property
    def instances(self) -> Ids:
        """Those of the original."""
        return self.given[1]

    def edit(
        self,
        labels: ImageLike,
        instances: ImageLike | None = None,
        progress: Progress | None = None,
        *,
        once: bool = False,
    ) -> EditResult:
        """The picture of an edited label map, computed anew in the tiles that read where the maps differ; all else is
        the original's picture.

        Without `instances`, those of the original are kept where the class is. The result waits in `pending` until
        `commit` or `revert`. Of an edit that is the only one, `once`, nothing is recorded where the dense pass is
        cheaper than that; then all of the picture is the edited map's. Raises `SigeError` for maps that do not fit the
        network.

            coast = sige_mlx.load("blue-marble-labels-256").session("labels.png")
            result = coast.edit("labels-painted.png")
            sige_mlx.save_image(result.picture, "coast.png")
        """
        maps = self.read(labels, instances)
        region = self._mask(maps)
        return self._edit(maps, region, self._window.spread(region), progress, once)

    def dense(
        self, labels: ImageLike, instances: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same picture with nothing reused: what `edit` is compared with."""
        return self._dense(self.read(labels, instances), progress)

    def mask(self, labels: ImageLike, instances: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """What an edit would recompute: where class or instance edge differ, grown by the dilation. Bool (H, W)."""
        return self._window.spread(self._mask(self.read(labels, instances)))

    def _mask(self, maps: Maps) -> Mask:
        return self._reader.mask(self._shown(self._window), self._seen(maps, self._window), self.dilation)

    def read(self, labels: ImageLike, instances: ImageLike | None = None) -> Maps:
        """An edited label map as ids, and the instances that it has in an edit. Raises `SigeError` for maps that do not
        fit the network."""
        return self._reader.read(labels, instances, self.given)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"dilation": self.dilation, "palette": np.asarray(self._palette).tolist()}

    @classmethod
    def _of(cls, engine: Engine, given: Maps, settings: dict[str, Any], history: int | None) -> LabelSession:
        palette = tuple((int(r), int(g), int(b)) for r, g, b in settings["palette"])
        labels, instances = given[0], None if engine.config.no_instance else given[1]
        return cls(engine, labels, instances, palette=palette, dilation=settings["dilation"], history=history)

    def _read(self, given: Maps, size: Size) -> Maps:
        reader = MapReader(self.engine.config, size, self._palette)
        return reader.read(given[0], None if self.engine.config.no_instance else given[1])

    @staticmethod
    def _size(given: Maps) -> int:
        return sum(ids.nbytes for ids in given)

    @staticmethod
    def _part(given: Maps, box: Box) -> Maps:
        labels, instances = (box.of(ids).copy() for ids in given)
        return labels, instances

    @staticmethod
    def _patched(given: Maps, box: Box, part: Maps) -> Maps:
        labels, instances = patched = given[0].copy(), given[1].copy()
        box.of(labels)[...], box.of(instances)[...] = part
        return patched

    @staticmethod
    def _differ(one: Maps, other: Maps) -> Mask:
        if one[0].shape != other[0].shape:
            raise SigeError("the label maps have different sizes")
        return np.asarray((one[0] != other[0]) | (one[1] != other[1]))

    def _changed(self, given: Maps, region: Mask) -> Box:
        """Instances may have other numbers everywhere, and be the same objects."""
        return super()._changed(given, region | self._differ(self.given, given))

    def _seen(self, given: Maps, window: Window) -> Maps:
        labels, instances = (window.nearest(ids) for ids in given)
        return labels, instances

    def _input(self, seen: Maps) -> npt.NDArray[np.float32]:
        return encode(*seen, self.engine.config)

    def _enlarged(self, given: Maps, made: Picture) -> Picture:
        return self._window.carried(made)
