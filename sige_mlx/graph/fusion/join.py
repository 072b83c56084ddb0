"""This module makes one convolution of several that read the same values."""

from collections.abc import Callable
from dataclasses import replace

from sige_mlx.graph.fusion.forms import FusedAttention, FusedConv, Groups, Term
from sige_mlx.graph.ir import Graph
from sige_mlx.nn import ops


def joined(graph: Graph, groups: Groups, in_tiles: Callable[[int], bool]) -> Groups:
    """Returns the groups with 1x1 convolutions joined that read the same values. Only attention may read their results,
    for only attention can read some of an array's channels.

    `in_tiles` tells which attentions edits compute in tiles. These read queries where they are, while keys and values
    are pasted into planes. Queries in the same array would be pasted for nobody, so they stay apart.
    """
    readers = graph.consumers()
    attentions = [op for op in groups.ops if isinstance(op, FusedAttention)]
    families: dict[tuple[Term, bool, frozenset[bool]], list[FusedConv]] = {}
    for op in groups.ops:
        if not isinstance(op, FusedConv) or not _is_pointwise(op) or op.value in graph.wanted:
            continue
        if all(isinstance(graph.nodes[i].op, ops.Attention) for i in readers[op.value]):
            asks = {op.value == a.q and in_tiles(a.value) for a in attentions if op.value in (a.q, a.k, a.v)}
            alike = replace(op.terms[0], weight=None, weight_shape=())
            families.setdefault((alike, bool(op.biases), frozenset(asks)), []).append(op)
    first = {family[0].value: replace(family[0], siblings=tuple(family[1:])) for family in families.values()}
    within = {op.value: family[0].value for family in families.values() for op in family[1:]}
    together = tuple(first.get(op.value, op) for op in groups.ops if op.value not in within)
    return Groups(together, {**groups.within, **within})


def _is_pointwise(conv: FusedConv) -> bool:
    """Says whether it is one 1x1 convolution and nothing else."""
    return len(conv.terms) == 1 and conv.terms[0].weight_shape[1:3] == (1, 1) and conv.is_plain and not conv.act
