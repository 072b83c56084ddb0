"""Editing the label map behind a picture: record the network on the original map once, then recompute only what an
edited map changes."""

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.images import Picture
from sige_mlx.editing.label_maps import CITYSCAPES, Ids, MapLike, check_classes, edges, encode, read_map
from sige_mlx.editing.one_pass import OnePass
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.models.spade import LabelToImageConfig
from sige_mlx.zoo import Palette

Maps = tuple[Ids, Ids]
"""Labels and instances."""


class LabelSession:
    """A label map open for editing.

    `labels` are the classes of all pixels and `instances` which object each belongs to: Pillow images or arrays of the
    engine's size (see `label_maps.read_map`), where they are coloured in the colours of `palette`. Without instances
    every area of one class is an object. `dilation` is by how many pixels the mask of an edit grows, by default the
    model's. Raises `SigeError` for maps that do not fit the network, and for a network that reads no label maps.
    """

    def __init__(
        self,
        engine: Engine,
        labels: MapLike,
        instances: MapLike | None = None,
        *,
        palette: Palette = CITYSCAPES,
        dilation: int | None = None,
    ):
        if not isinstance(engine.config, LabelToImageConfig):
            raise SigeError("this model reads pictures: label maps are for gaugan-cityscapes and its like")
        if engine.config.output_nc != 3:
            raise SigeError(f"this network writes {engine.config.output_nc} channels: pictures need 3")
        self.engine, self.palette = engine, palette
        self.dilation = engine.config.mask_dilate_radius if dilation is None else dilation
        self.labels, self.instances = self._read(labels, instances)
        self.pending: EditResult | None = None
        self._pending_maps: Maps | None = None
        self._network = OnePass(engine)

    @property
    def image(self) -> Picture | None:
        """The picture of the original label map, once it is recorded."""
        return self._network.image

    def record(self, progress: Progress | None = None) -> Picture:
        """The picture of the original label map, recorded; the first edit does it when it was not done before."""
        return self._network.record(lambda: self._encoded((self.labels, self.instances)), progress)

    def edit(self, labels: MapLike, instances: MapLike | None = None, progress: Progress | None = None) -> EditResult:
        """The picture of an edited label map, computed anew where the maps differ; all else is the original's picture.

        Without `instances`, those of the original are kept where the class is. The result waits in `pending` until
        `commit` or `revert`. Raises `SigeError` for maps that do not fit the network.
        """
        maps = self._read(labels, instances, edited=True)
        self.record(progress)
        self.pending = self._network.edit(self._encoded(maps), self._mask(maps), progress)
        self._pending_maps = maps
        return self.pending

    def dense(self, labels: MapLike, instances: MapLike | None = None, progress: Progress | None = None) -> DenseResult:
        """The same picture with nothing reused: what `edit` is compared with."""
        return self._network.dense(self._encoded(self._read(labels, instances, edited=True)), progress)

    def commit(self) -> None:
        """Makes the pending edit's label map the original. What was recorded belongs to the old one and is dropped: the
        next edit records the new original first, densely. Raises `SigeError` when nothing is pending."""
        if self._pending_maps is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.labels, self.instances = self._pending_maps
        self._network.drop()
        self.revert()

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        self.pending = self._pending_maps = None

    def mask(self, labels: MapLike, instances: MapLike | None = None) -> npt.NDArray[np.bool_]:
        """What an edit would recompute: where class or instance edge differ, grown by the dilation. Bool (H, W)."""
        return self._mask(self._read(labels, instances, edited=True))

    def _mask(self, maps: Maps) -> npt.NDArray[np.bool_]:
        changed = self.labels != maps[0]
        if not self.engine.config.no_instance:
            changed |= edges(self.instances) != edges(maps[1])
        return dilate(changed, self.dilation)

    def _read(self, labels: MapLike, instances: MapLike | None, edited: bool = False) -> Maps:
        """The maps as ids, in arrays of the session's own."""
        which = "edited" if edited else "original"
        size = self.engine.plan.image_size
        ids = read_map(labels, size, f"the {which} label map", self.palette)
        check_classes(ids, self.engine.config, f"the {which} label map")
        if instances is not None:
            if self.engine.config.no_instance:
                raise SigeError("this network sees no instances: it takes a label map alone")
            return ids, read_map(instances, size, f"the {which} instance map", self.palette)
        return ids, np.where(ids == self.labels, self.instances, ids) if edited else ids

    def _encoded(self, maps: Maps) -> npt.NDArray[np.float32]:
        return encode(*maps, self.engine.config)
