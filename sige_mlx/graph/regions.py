"""Which part of a network an edit recomputes in tiles, which densely, and which not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sige_mlx.graph.ir import Graph, Node
from sige_mlx.nn import ops


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


def regions(graph: Graph, threshold: int, everywhere: bool = True) -> Regions:
    """Divides a graph by the rule of SIGE: tiles where the longer side of a convolution's plane, before or after it, is
    at least `threshold`, dense below, where tiles would cover most of the plane anyway.

    Statistics are recorded ones wherever tiles are, for pixels outside the tiles were normalised with them; they are
    fresh in the dense part, and in the head: the output convolution and the norm and activation before it. There
    nothing recorded is read any more, so fresh statistics are right for every pixel. With `everywhere` the head
    computes all its pixels, since they all move with the statistics; without it only the active tiles, which is enough
    for a caller that keeps its own unedited pixels.
    """
    shapes = [n.shape for n in graph.nodes]
    edited = _edited(graph)
    head = _head(graph)
    of = []
    for node in graph.nodes:
        if not edited[node.index]:
            of.append(Region.FIXED)
            continue
        side = max([max(node.shape[1:3]), *(max(shapes[i][1:3]) for i in node.inputs if edited[i])])
        tiles = side >= threshold and _is_local(node) and not (everywhere and node.index == graph.output)
        of.append(Region.TILES if tiles else Region.DENSE)
    _unite_additions(graph, of)
    fresh = {
        node.index
        for node in graph.nodes
        if isinstance(node.op, ops.GroupNorm | ops.InstanceNorm)
        and edited[node.index]
        and (node.index in head or max(node.shape[1:3]) < threshold)
    }
    return Regions(of, frozenset(fresh), frozenset(head))


def _edited(graph: Graph) -> list[bool]:
    """Nodes computed from an image: an input with height and width."""
    reached = [False] * len(graph.nodes)
    images = {i for i in graph.inputs.values() if len(graph.nodes[i].shape) == 4}
    for node in graph.nodes:
        reached[node.index] = node.index in images or any(reached[i] for i in node.inputs)
    return reached


def _unite_additions(graph: Graph, of: list[Region]) -> None:
    """An addition is computed with the convolutions that only it reads (see `fusion`), so in the same region."""
    readers = graph.consumers()
    for node in reversed(graph.nodes):
        for i in node.inputs if isinstance(node.op, ops.Add) else ():
            other = graph.nodes[i]
            of_its_own = readers[i] == [node.index] and other.shape == node.shape and of[i] is not Region.FIXED
            if of_its_own and isinstance(other.op, ops.Conv2d | ops.Linear | ops.Add):
                of[i] = of[node.index]


def _is_local(node: Node) -> bool:
    """Whether an output pixel depends on nearby input pixels only, and the node stores its result. Norms, activations,
    concatenations and upsamplings store nothing: they are part of how their result is read."""
    return isinstance(node.op, ops.Conv2d | ops.Add)


def _head(graph: Graph) -> set[int]:
    node = graph.nodes[graph.output]
    head = {node.index}
    if isinstance(node.op, ops.Conv2d):
        node = graph.nodes[node.inputs[0]]
        while isinstance(node.op, ops.SiLU | ops.GroupNorm):
            head.add(node.index)
            node = graph.nodes[node.inputs[0]]
    return head
