"""Everything that is lowered from one graph: the dense pass, the recording pass, and a program for every edit."""

from dataclasses import dataclass
from functools import cached_property

import mlx.nn
import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion import Fused, fuse, joined
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering import DenseLowering, EditLowering
from sige_mlx.graph.program import Program
from sige_mlx.graph.regions import Region, Regions, regions
from sige_mlx.graph.tiling import Tiling, tiling
from sige_mlx.graph.trace import trace


@dataclass(frozen=True)
class Edit:
    """One edit: the same for every sampler step. `template` is the program that all edits of a plan share."""

    tiling: Tiling
    regions: Regions
    template: Program

    @cached_property
    def program(self) -> Program:
        """The template on the edit's tiles."""
        return self.template.on(self.tiling)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one step; an empty edit computes nothing."""
        return 0 if self.tiling.empty else self.program.macs


@dataclass(frozen=True)
class Plan:
    """A graph with the choices its programs are lowered by: `threshold`, the plane side from which an edit uses tiles,
    `tile`, their side in pixels, `dilation`, by which masks grow at every resolution, and `fresh_head`, whether the
    last norm takes statistics of the edit (see `regions`)."""

    graph: Graph
    threshold: int
    tile: int = 4
    dilation: int = 1
    fresh_head: bool = True

    @classmethod
    def of(cls, model: mlx.nn.Module, batch: int = 1, threshold: int | None = None, tile: int = 4) -> "Plan":
        """The plan of a model, with the choices of its configuration where none are given. Raises `SigeError` for a
        threshold that is no side of a plane."""
        config = model.config
        threshold = (
            config.sparse_resolution_threshold if threshold is None else whole(threshold, "the threshold of planes", 1)
        )
        dilation = getattr(config, "downsample_dilate_radius", 1)
        return cls(trace(model, model.inputs(batch)), threshold, tile, dilation, getattr(config, "fresh_head", True))

    @cached_property
    def fused(self) -> list[Fused]:
        of = self._regions[True].of  # every attention is in the same region in both
        return joined(self.graph, fuse(self.graph), lambda attention: of[attention] is Region.TILES)

    @cached_property
    def _regions(self) -> dict[bool, Regions]:
        """What edits recompute, by `everywhere`."""
        return {e: regions(self.graph, self.threshold, e, self.fresh_head) for e in (True, False)}

    @cached_property
    def dense(self) -> Program:
        """The whole network on the whole image."""
        return DenseLowering(self.graph, self.fused, self.tile).lower()

    @cached_property
    def recording(self) -> Program:
        """The dense pass that keeps what any edit may read: which arrays those are does not depend on the mask."""
        keys = {key for template in self._templates.values() for key in template[1].recorded}
        return DenseLowering(self.graph, self.fused, self.tile, keys).lower()

    @cached_property
    def _templates(self) -> dict[bool, tuple[Regions, Program]]:
        """The regions and the program of every edit, by `everywhere`."""
        return {
            everywhere: (parts, EditLowering(self.graph, self.fused, self.tile, parts).lower())
            for everywhere, parts in self._regions.items()
        }

    @property
    def recorded_nbytes(self) -> int:
        """Bytes that recording one step keeps."""
        return sum(slot.nbytes for slot in self.recording.recorded.values())

    def edit(self, mask: npt.NDArray[np.bool_], everywhere: bool = True) -> Edit:
        """The program for the edit of `mask`, bool (H, W) or (B, H, W), already dilated. Without `everywhere` the
        output is right in the active tiles and recorded elsewhere. Raises `SigeError` for a mask of another size than
        the image."""
        if mask.ndim > 1 and mask.shape[-2:] != self.image_size:
            h, w = self.image_size
            raise SigeError(
                f"the mask is {mask.shape[-2]}x{mask.shape[-1]} and the network's image {h}x{w}: they must agree"
            )
        tiles = tiling(mask, self.batch, self.tile, self.dilation)
        return Edit(tiles, *self._templates[everywhere])

    @property
    def image_size(self) -> tuple[int, int]:
        _, h, w, _ = self._image
        return h, w

    @property
    def batch(self) -> int:
        return self._image[0]

    @property
    def _image(self) -> tuple[int, ...]:
        return next(s for i in self.graph.inputs.values() if len(s := self.graph.nodes[i].shape) == 4)
