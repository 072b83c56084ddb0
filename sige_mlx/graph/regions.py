"""Which part of a network an edit recomputes in tiles, which densely, and which not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sige_mlx.graph.ir import Graph, Node
from sige_mlx.nn import ops

CONVOLUTIONS = ops.Conv2d | ops.ConvTranspose2d | ops.AvgPool2d
"""Whose output pixels depend on nearby input pixels."""


class Region(Enum):
    """How an edit computes a node."""

    FIXED = "fixed"
    """It does not depend on the image (a time embedding): the recorded value serves."""
    TILES = "tiles"
    """Active tiles are recomputed, the rest is the recorded value."""
    DENSE = "dense"
    """Every pixel is recomputed."""


@dataclass(frozen=True)
class Regions:
    """What an edit does with every node of a graph."""

    of: Sequence[Region]
    fresh: frozenset[int]
    """Norms whose statistics are taken from the edited value; all others keep the recorded ones."""
    head: frozenset[int]
    """The output convolution and what leads to it from its input value (see `regions`)."""


def regions(graph: Graph, threshold: int, everywhere: bool = True, fresh_head: bool = True) -> Regions:
    """Divides a graph by the rule of SIGE: tiles where the longer side of a convolution's plane, before or after it, is
    at least `threshold`, dense below, where tiles would cover most of the plane anyway.

    Statistics are recorded ones wherever tiles are, for pixels outside the tiles were normalised with them; they are
    fresh in the dense part, and in the head: the output convolution and the norm and activation before it. There
    nothing recorded is read any more, so fresh statistics are right for every pixel. With `everywhere` the head
    computes all its pixels, since they all move with the statistics; without it only the active tiles, which is enough
    for a caller that keeps its own unedited pixels. Where the unedited pixels are the recorded output's, tiles with
    fresh statistics show as patches: without `fresh_head` the head has the recorded ones, too.
    """
    shapes = [n.shape for n in graph.nodes]
    edited = graph.sees_image()
    head, last = _head(graph), _last(graph)
    of: list[Region] = []
    for node in graph.nodes:
        if not edited[node.index]:
            of.append(Region.FIXED)
            continue
        side = max([max(node.shape[1:3]), *(max(shapes[i][1:3]) for i in node.inputs if edited[i])])
        local = node.index in last or _is_local(node, of)
        tiles = side >= threshold and local and not (everywhere and node.index in last)
        of.append(Region.TILES if tiles else Region.DENSE)
    for i in last:
        of[i] = of[min(last)]
    _unite_additions(graph, of)
    fresh = {
        node.index
        for node in graph.nodes
        if isinstance(node.op, ops.GroupNorm | ops.InstanceNorm)
        and edited[node.index]
        and ((fresh_head and node.index in head) or max(node.shape[1:3]) < threshold)
    }
    for node in graph.nodes:  # pixelwise with what is recorded: stored, if it must be, where the value is
        if isinstance(node.op, ops.Activation | ops.Norm) and node.index not in fresh | last:
            of[node.index] = of[node.inputs[0]]
    return Regions(of, frozenset(fresh), frozenset(head))


def _unite_additions(graph: Graph, of: list[Region]) -> None:
    """An addition is computed with the convolutions that only it reads (see `fusion`), so in the same region."""
    readers = graph.consumers()
    for node in reversed(graph.nodes):
        for i in node.inputs if isinstance(node.op, ops.Add) else ():
            other = graph.nodes[i]
            of_its_own = readers[i] == [node.index] and other.shape == node.shape and of[i] is not Region.FIXED
            if of_its_own and isinstance(other.op, CONVOLUTIONS | ops.Linear | ops.Add):
                of[i] = of[node.index]


def _is_local(node: Node, of: Sequence[Region]) -> bool:
    """Whether a node stores its result, and tiles of it can be computed: a pixel depends on input pixels nearby, or is
    a query that attends to all. Norms, activations, concatenations and resamplings store nothing: they are part of how
    their result is read."""
    if isinstance(node.op, ops.Attention):
        return of[node.inputs[0]] is Region.TILES
    return isinstance(node.op, CONVOLUTIONS | ops.Add)


def _last(graph: Graph) -> set[int]:
    """The output, and under its activation what is computed with it (see `fusion`)."""
    node = graph.nodes[graph.output]
    below = node.inputs[0] if isinstance(node.op, ops.Activation) else node.index
    only = graph.consumers()[below] == [node.index]
    written = isinstance(graph.nodes[below].op, CONVOLUTIONS | ops.Linear | ops.Add)
    return {node.index, below} if only and written else {node.index}


def _head(graph: Graph) -> set[int]:
    head = set()
    node = graph.nodes[graph.output]
    while isinstance(node.op, ops.Activation):
        head.add(node.index)
        node = graph.nodes[node.inputs[0]]
    if isinstance(node.op, CONVOLUTIONS):
        head.add(node.index)
        node = graph.nodes[node.inputs[0]]
    while isinstance(node.op, ops.Activation | ops.Norm):
        head.add(node.index)
        node = graph.nodes[node.inputs[0]]
    return head | {graph.output}
