"""One graph is lowered under one policy to three programs: of the dense pass, of the recording pass, and of edits."""

from collections.abc import Callable, Iterable, Mapping
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
from sige_mlx.graph.policy import EditPolicy, Statistics
from sige_mlx.graph.program import Buffer, Counts, Kind, Program
from sige_mlx.graph.regions import Region, Regions, regions, whole
from sige_mlx.graph.tiling import Size, Tiling, tiling
from sige_mlx.graph.trace import input_shapes, trace
from sige_mlx.nn.ops.conv import Convolution


@dataclass(frozen=True)
class Lowered:
    """It is a graph under a policy, with tiles of `tile` pixels a side. It lowers a program when that is asked for."""

    graph: Graph
    policy: EditPolicy
    tile: int = 4

    @classmethod
    def of(
        cls, model: mlx.nn.Module, policy: EditPolicy, batch: int = 1, tile: int = 4, size: Size | None = None
    ) -> "Lowered":
        """Traces a model on images of its own size, or of another `size` (H, W). Raises `SigeError` for a size that its
        operations do not fit."""
        shapes = input_shapes(model, batch)
        if size is not None:
            shapes = {name: (s[0], *size, s[3]) if len(s) == 4 else s for name, s in shapes.items()}
        return cls(trace(model, shapes), policy, tile)

    @cached_property
    def groups(self) -> Groups:
        """These are the fused operations."""
        return joined(self.graph, self._apart, lambda attention: self.regions.of[attention] is Region.TILES)

    @cached_property
    def _apart(self) -> Groups:
        return fuse(self.graph)

    @cached_property
    def regions(self) -> Regions:
        """They say what edits recompute, with the statistics that edits take which are not large."""
        return self.regions_of(self.policy.statistics)

    def regions_of(self, statistics: Statistics) -> Regions:
        """Returns what edits with these statistics recompute. Only whose norms are fresh depends on them."""
        return regions(self.graph, self._apart, self.policy, statistics)

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
        plain = [key for key in (*self._read, *self._renewing) if key not in self.stored]
        return lower(self.graph, self.groups, self._whole, self.tile, plain, self.stored)

    @cached_property
    def measuring(self) -> Program:
        """It is a dense pass that keeps the moments of all norms and nothing else."""
        norms = (op.value for op in self.groups.ops if isinstance(op, FusedNorm))
        return self.keeping(("moments", norm) for norm in norms)

    def keeping(self, keys: Iterable[Any], planes: Graph | None = None) -> Program:
        """Returns a dense pass that keeps arrays of these keys whole, as ops write them; of a window of `planes`, if
        these are given (see `lower`)."""
        return lower(self.graph, self.groups, self._whole, self.tile, keys, planes=planes)

    @cached_property
    def edits(self) -> Mapping[Statistics, Program]:
        """Every edit runs one of these programs, that of the statistics that it takes."""
        return self._by_statistics(lambda regions: lower(self.graph, self.groups, regions, self.tile))

    @property
    def edit(self) -> Program:
        """Edits run this program that are not large."""
        return self.edits[self.policy.statistics]

    def edit_of(self, tiling: Tiling) -> Program:
        """Returns the program that the edit of these tiles runs."""
        return self.edits[self.policy.statistics_of(tiling.edited)]

    @cached_property
    def commits(self) -> Mapping[Statistics, Program]:
        """These are edits that carry the record over to their own inputs: they put tiles in the place of the recorded
        ones, and tell how that changes the sums that statistics of norms are made of."""
        sums = [key for key in (*self._read, *self._renewing) if key[0] == "sums"]
        kept = (), [*self.stored, *sums], self.changing
        return self._by_statistics(lambda regions: lower(self.graph, self.groups, regions, self.tile, *kept))

    def _by_statistics(self, program: Callable[[Regions], Program]) -> Mapping[Statistics, Program]:
        """Returns a program for all statistics that edits take. Estimated ones are given to that of recorded ones."""
        made: dict[Statistics, Program] = {}
        for statistics in self.policy.all_statistics:
            which: Statistics = "recorded" if statistics == "estimated" else statistics
            if which not in made:
                made[which] = program(self.regions_of(which))
            made[statistics] = made[which]
        return made

    @cached_property
    def _read(self) -> Mapping[Any, Buffer]:
        """Edits read these of the record."""
        return {key: buffer for edit in self.edits.values() for key, buffer in edit.recorded.items()}

    @cached_property
    def stored(self) -> Mapping[Any, Buffer]:
        """These planes are recorded in tiles, which a commit can replace: those of values that edits compute so."""
        planes = ((key, buffer) for key, buffer in self._read.items() if len(buffer.shape) == 4)
        return {key: buffer for key, buffer in planes if self.regions.of.get(key[1]) is Region.TILES}

    @cached_property
    def renewed(self) -> tuple[FusedNorm, ...]:
        """A commit renews the statistics of these norms, which are recorded and depend on the image."""
        sees = self.graph.sees_image()
        norms = (op for op in self.groups.ops if isinstance(op, FusedNorm))
        kept = (op for op in norms if any((what, op.value) in self._read for what in ("scale", "moments")))
        return tuple(op for op in kept if sees[op.norm])

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
        keys = [(what, norm.value) for norm in self.renewed for what in ("scale", "shift", "moments", "gain")]
        return keys + [key for key in self.changing if key[0] == "sums"]

    @cached_property
    def measured(self) -> Mapping[Any, Buffer]:
        """Estimates begin from these recorded arrays, if edits make any: moments at half the size."""
        if "estimated" not in self.policy.all_statistics:
            return {}
        keys = {("small", norm.value): (self.batch, 2, norm.groups) for norm in self.renewed}
        return {key: Buffer(Kind.RECORDED, key, shape) for key, shape in keys.items()}

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
        return {**self.recording.recorded, **self.measured}

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

    @cached_property
    def granularity(self) -> int:
        """Images of any size have the same planes, halved and doubled, when their sides are multiples of so many
        pixels: one pixel of the smallest plane covers so many."""
        planes = [shape for shape in (self.graph.nodes[v].shape for v in self.regions.of) if len(shape) == 4]
        heights = [h for _, h, w, _ in planes if (h, w) != (1, 1)]
        return 1 << (-(-self.image_size[0] // min(heights)) - 1).bit_length()

    @cached_property
    def least_side(self) -> int:
        """Images of so many pixels a side, or more, have planes that are larger than what is reflected at their
        borders. It is a multiple of the granularity."""
        reflected = 0
        for node in self.graph.nodes:
            if isinstance(node.op, Convolution) and node.op.pad_mode == "reflect":
                plane = self.graph.nodes[node.inputs[0]].shape[1:3]
                pixels = (-(-side // of) for side, of in zip(self.image_size, plane, strict=True))  # that one covers
                reflected = max(reflected, *(max(by) * n for by, n in zip(node.op.padding, pixels, strict=True)))
        return (reflected // self.granularity + 1) * self.granularity

    @property
    def batch(self) -> int:
        """A pass takes so many images."""
        return self._image[0]

    @property
    def _image(self) -> tuple[int, ...]:
        return next(s for i in self.graph.inputs.values() if len(s := self.graph.nodes[i].shape) == 4)
