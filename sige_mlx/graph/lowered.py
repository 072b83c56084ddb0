"""One graph is lowered under one policy to three programs: of the dense pass, of the recording pass, and of edits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mlx.nn
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion import Embedding, FusedEmbedding, FusedNorm, Groups, fuse, joined
from sige_mlx.graph.ir import Graph, Node
from sige_mlx.graph.lowering import lower
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.graph.program import Buffer, Counts, Program
from sige_mlx.graph.regions import Region, Regions, regions, whole
from sige_mlx.graph.tiling import Size, Tiling, tiling
from sige_mlx.graph.trace import trace


@dataclass(frozen=True)
class Lowered:
    """It is a graph under a policy, with tiles of `tile` pixels a side. It lowers a program when that is asked for."""

    graph: Graph
    policy: EditPolicy
    tile: int = 4

    @classmethod
    def of(cls, model: mlx.nn.Module, policy: EditPolicy, batch: int = 1, tile: int = 4) -> "Lowered":
        """Traces a model."""
        return cls(trace(model, model.inputs(batch)), policy, tile)

    @cached_property
    def groups(self) -> Groups:
        """These are the fused operations."""
        return joined(self.graph, self._apart, lambda attention: self.regions.of[attention] is Region.TILES)

    @cached_property
    def _apart(self) -> Groups:
        return fuse(self.graph)

    @cached_property
    def regions(self) -> Regions:
        """They say what edits recompute."""
        return regions(self.graph, self._apart, self.policy)

    @cached_property
    def _whole(self) -> Regions:
        return whole(self.graph, self.groups)

    @cached_property
    def dense(self) -> Program:
        """It computes the whole network on the whole image."""
        return lower(self.graph, self.groups, self._whole, self.tile)

    @cached_property
    def recording(self) -> Program:
        """It is a dense pass that keeps what any edit may read. Which arrays these are does not depend on the mask."""
        plain = [key for key in (*self.edit.recorded, *self._renewing) if key not in self.stored]
        return lower(self.graph, self.groups, self._whole, self.tile, plain, self.stored)

    @cached_property
    def edit(self) -> Program:
        """Every edit runs this program."""
        return lower(self.graph, self.groups, self.regions, self.tile)

    @cached_property
    def commit(self) -> Program:
        """It is an edit that carries the record over to its own inputs: it puts tiles in the place of the recorded
        ones, and tells how that changes the sums that statistics of norms are made of."""
        sums = [key for key in (*self.edit.recorded, *self._renewing) if key[0] == "sums"]
        return lower(self.graph, self.groups, self.regions, self.tile, (), [*self.stored, *sums], self.changing)

    @cached_property
    def stored(self) -> Mapping[Any, Buffer]:
        """These planes are recorded in tiles, which a commit can replace: those of values that edits compute so."""
        planes = ((key, buffer) for key, buffer in self.edit.recorded.items() if len(buffer.shape) == 4)
        return {key: buffer for key, buffer in planes if self.regions.of.get(key[1]) is Region.TILES}

    @cached_property
    def renewed(self) -> tuple[FusedNorm, ...]:
        """A commit renews the statistics of these norms, which are recorded and depend on the image."""
        sees, recorded = self.graph.sees_image(), self.edit.recorded
        norms = (op for op in self.groups.ops if isinstance(op, FusedNorm))
        return tuple(op for op in norms if sees[op.norm] and ("scale", op.value) in recorded)

    @cached_property
    def changing(self) -> tuple[Any, ...]:
        """These recorded arrays tell what the renewed norms normalise: values, or the sums of their tiles where they
        are not recorded."""
        parts = dict.fromkeys(value for norm in self.renewed for value in norm.parts)
        return tuple(key if (key := ("value", value)) in self.stored else ("sums", value) for value in parts)

    @cached_property
    def _renewing(self) -> list[Any]:
        """These are recorded for commits alone: what statistics are made of, and the sums of tiles that are not
        recorded themselves."""
        keys = [(what, norm.value) for norm in self.renewed for what in ("moments", "gain")]
        return keys + [key for key in self.changing if key[0] == "sums"]

    @property
    def planes(self) -> list[Size]:
        """Edits compute these planes in tiles; the largest comes first."""
        found = (self.graph.nodes[value].shape for value, region in self.regions.of.items() if region is Region.TILES)
        return sorted({(h, w) for _, h, w, _ in found}, reverse=True)

    @property
    def embeddings(self) -> list[Embedding]:
        """Programs read these besides the graph's inputs."""
        return [op.of for op in self._apart.ops if isinstance(op, FusedEmbedding)]

    @property
    def recorded(self) -> Mapping[Any, Buffer]:
        """Recording one step keeps these by key, besides the output."""
        return self.recording.recorded

    def tiling(self, mask: npt.NDArray[np.bool_]) -> Tiling:
        """Returns the tiles of an edit of `mask`, bool (H, W) or (B, H, W), already dilated. Raises `SigeError` for a
        mask of another size than the image."""
        if mask.ndim > 1 and mask.shape[-2:] != self.image_size:
            h, w = self.image_size
            raise SigeError(
                f"the mask is {mask.shape[-2]}x{mask.shape[-1]} and the network's image {h}x{w}: they must agree"
            )
        return tiling(mask, self.batch, self.tile, self.policy.dilation_per_level)

    @cached_property
    def dense_macs(self) -> int:
        """The dense pass takes so many multiply-accumulates."""
        return sum(self.graph.macs(node) for node in self.graph.nodes)

    def macs(self, tiles: Tiling) -> int:
        """Returns the multiply-accumulates of an edit on these tiles. An empty edit takes none."""
        return 0 if tiles.empty else sum(of(tiles.counts) for of in self._multiplying)

    def node_macs(self, node: Node) -> Callable[[Counts], int]:
        """Returns a function that takes the numbers of an edit's tiles to the multiply-accumulates of one node."""
        region, macs = self.regions.of.get(self._apart.value(node.index)), self.graph.macs(node)
        if region is Region.TILES and macs:
            n, h, w, _ = node.shape
            return lambda counts: macs * counts[h, w] * self.tile**2 // (n * h * w)
        return lambda counts: 0 if region is Region.FIXED else macs

    @cached_property
    def _multiplying(self) -> list[Callable[[Counts], int]]:
        return [self.node_macs(node) for node in self.graph.nodes if self.graph.macs(node)]

    @property
    def image_size(self) -> tuple[int, int]:
        """The images that the network reads have this height and width."""
        _, h, w, _ = self._image
        return h, w

    @property
    def batch(self) -> int:
        """A pass takes so many images."""
        return self._image[0]

    @property
    def _image(self) -> tuple[int, ...]:
        return next(s for i in self.graph.inputs.values() if len(s := self.graph.nodes[i].shape) == 4)
