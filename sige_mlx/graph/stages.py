"""A graph cut where it attends: a window of planes can then attend to keys and values of the planes, in which its own
have taken their place."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sige_mlx.graph.ir import Graph, Input
from sige_mlx.nn.ops import Attention


@dataclass(frozen=True)
class Stage:
    """A part of a network: `reads` has the network's values by the names of its inputs, and `gives` its own values by
    the network's, all of which it computes for later stages or as the network's output."""

    graph: Graph
    reads: Mapping[str, int]
    gives: Mapping[int, int]


def keys_and_values(graph: Graph) -> list[int]:
    """Returns the values of a graph that attentions read as keys and values."""
    return [i for node in graph.nodes if isinstance(node.op, Attention) for i in node.inputs[1:]]


def stages(graph: Graph, planes: Graph) -> list[Stage]:
    """Returns the parts of a graph, each of which ends where an attention follows. Keys and values come into a stage in
    the size that they have in `planes`, which is the same network's graph, of these planes or of larger ones."""
    whole, last = {*keys_and_values(graph)}, [node.index for node in graph.nodes]
    for node in graph.nodes:
        for i in node.inputs:
            last[i] = node.index
    last[graph.output] = len(graph.nodes)
    attending = [node.index for node in graph.nodes if isinstance(node.op, Attention)]
    found = []
    for first, end in pairwise([0, *attending, len(graph.nodes)]):
        part, reads, own = Graph(), {}, dict[int, int]()
        for node in graph.nodes[first:end]:
            for i in [node.index] if isinstance(node.op, Input) else node.inputs:
                if i not in own:
                    of = planes if i in whole else graph
                    own[i] = part.add_input(f"value {i}", of.nodes[i].shape).index
                    reads[f"value {i}"] = i
            if not isinstance(node.op, Input):
                inputs = [own[i] for i in node.inputs]
                own[node.index] = part.add(node.op, inputs, node.params, node.param_shapes).index
        gives = {i: own[i] for i in range(first, end) if i in own and last[i] >= end and i not in reads.values()}
        *also, part.output = gives.values()
        part.also = tuple(also)
        found.append(Stage(part, reads, gives))
    return found
