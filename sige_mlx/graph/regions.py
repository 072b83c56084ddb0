"""This module decides which fused operations an edit recomputes in tiles, which densely, and which not at all."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from sige_mlx.graph.fusion import FusedAttention, FusedConv, FusedNorm, Groups, Stored
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.policy import EditPolicy, Statistics
from sige_mlx.graph.tiling import Size, halvings
from sige_mlx.nn import ops


class Region(Enum):
    """The region says how an edit computes a value."""

    FIXED = "fixed"
    """It does not depend on the image (a time embedding): the recorded value serves."""
    TILES = "tiles"
    """Active tiles are recomputed, the rest is recorded."""
    DENSE = "dense"
    """Every pixel is recomputed."""


@dataclass(frozen=True)
class Regions:
    """Every fused operation that stores a value has a region, by that value."""

    of: Mapping[int, Region]
    fresh: frozenset[int]
    """Norms of these nodes take statistics of the image that they are given; all others have the recorded ones."""


def whole(graph: Graph, groups: Groups) -> Regions:
    """Returns the regions of a dense pass: every value is computed whole, and every norm takes its own statistics."""
    fresh = (n.index for n in graph.nodes if isinstance(n.op, ops.SampleNorm))
    stored = [*graph.inputs.values(), *(op.value for op in groups.ops if not isinstance(op, FusedNorm))]
    return Regions(dict.fromkeys(stored, Region.DENSE), frozenset(fresh))


def regions(graph: Graph, groups: Groups, policy: EditPolicy, statistics: Statistics) -> Regions:
    """Returns the regions of an edit by the rule of SIGE, whose norms take these statistics.

    An operation is computed in tiles where the longest side of the planes that it reads or writes is at least
    `policy.tiles_from`, and densely below. Planes whose size is none of the image's `halvings` are dense, too.

    Wherever there are tiles, statistics are the recorded ones, for the pixels outside the tiles were normalised with
    these. They are fresh in the dense part and, where that is wanted, everywhere or in the head, which are the norms
    that the last operation reads through. It reads nothing recorded, so fresh statistics are right for every pixel. If
    the output is wanted everywhere, that operation computes all its pixels, since all of them move with the statistics.
    Where unedited pixels are those of the recorded output, tiles with fresh statistics show as patches.
    """
    edited = graph.sees_image()
    images = (graph.nodes[i].shape for i in graph.inputs.values())
    known = {size for shape in images if len(shape) == 4 for size in halvings((shape[1], shape[2]))}
    of = {i: Region.DENSE if edited[i] else Region.FIXED for i in graph.inputs.values()}
    for op in groups.ops:
        if not isinstance(op, FusedNorm):
            of[op.value] = _region(op, graph, policy, of, known) if edited[op.value] else Region.FIXED
    written = groups.value(graph.output)
    head: set[int | None] = set()
    if statistics == "fresh head":
        head = {r.norm for op in groups.ops if op.value == written for r in op.reads}
    normed = {op.norm: op.value for op in groups.ops if isinstance(op, FusedNorm)}
    fresh = {
        node.index
        for node in graph.nodes
        if isinstance(node.op, ops.SampleNorm)
        and edited[node.index]
        and (
            statistics == "followed"
            or max(node.shape[1:3]) < policy.tiles_from
            or normed.get(node.index, node.index) in head
        )
    }
    return Regions(of, frozenset(fresh))


def _region(op: Stored, graph: Graph, policy: EditPolicy, of: Mapping[int, Region], known: Collection[Size]) -> Region:
    """Returns the region of an operation that sees the image; `of` has those of what it reads, `known` the halvings."""
    is_output = op.value == graph.output
    if is_output and policy.output == "everywhere":
        return Region.DENSE
    if isinstance(op, FusedAttention):  # only queries can be of tiles
        return of[op.q]
    if not isinstance(op, FusedConv) and not is_output:
        return Region.DENSE
    size = op.shape[1:-1]
    tiles = size in known and size != (1, 1) and _side(op, graph) >= policy.tiles_from
    return Region.TILES if tiles else Region.DENSE


def _side(op: Stored, graph: Graph) -> int:
    """Returns the longest side in pixels of the planes that an operation writes, or reads as they look resampled."""
    sides = list(op.shape[1:3])
    for read in (read for term in op.terms for read in term.reads) if isinstance(op, FusedConv) else ():
        by = read.resample
        sides += [side << by if by > 0 else side >> -by for side in graph.nodes[read.value].shape[1:3]]
    return max(sides)
