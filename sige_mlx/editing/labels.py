"""Editing the label map behind a picture: record the network on the original map once, then recompute only what an
edited map changes."""

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.label_maps import CITYSCAPES, Ids, MapLike, check_classes, edges, encode, read_map
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.models.spade import LabelToImageConfig
from sige_mlx.zoo import Palette

Maps = tuple[Ids, Ids]
"""Labels and instances."""


class LabelSession(OnePassSession[Maps]):
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
        super().__init__(engine, self._read(labels, instances))

    @property
    def labels(self) -> Ids:
        """Those of the original."""
        return self.original[0]

    @property
    def instances(self) -> Ids:
        """Those of the original."""
        return self.original[1]

    def edit(self, labels: MapLike, instances: MapLike | None = None, progress: Progress | None = None) -> EditResult:
        """The picture of an edited label map, computed anew where the maps differ; all else is the original's picture.

        Without `instances`, those of the original are kept where the class is. The result waits in `pending` until
        `commit` or `revert`. Raises `SigeError` for maps that do not fit the network.
        """
        maps = self._read(labels, instances, edited=True)
        return self._edit(maps, self._mask(maps), progress)

    def dense(self, labels: MapLike, instances: MapLike | None = None, progress: Progress | None = None) -> DenseResult:
        """The same picture with nothing reused: what `edit` is compared with."""
        return self._dense(self._read(labels, instances, edited=True), progress)

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

    def _input(self, original: Maps) -> npt.NDArray[np.float32]:
        return encode(*original, self.engine.config)
