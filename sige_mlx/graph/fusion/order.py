"""This module puts fused operations into the order in which they run."""

from collections.abc import Sequence

from sige_mlx.graph.fusion.forms import Fused, FusedNorm
from sige_mlx.graph.ir import Graph, Node
from sige_mlx.nn import ops


def ordered(graph: Graph, fused: Sequence[Fused]) -> tuple[Fused, ...]:
    """Returns the operations so that each comes after what it reads; else their order stays. Where that is possible,
    each also comes after what its result will be modulated with, so that it can be written modulated."""
    at = {op.value: i for i, op in enumerate(fused) if not isinstance(op, FusedNorm)}
    norms = {op.value: i for i, op in enumerate(fused) if isinstance(op, FusedNorm)}
    before = [
        {at[v] for v in _values(op) if v in at} | {norms[r.norm] for r in op.reads if r.norm in norms} for op in fused
    ]
    for op in fused:
        for r in op.reads:
            producer = at.get(r.value)
            if r.mod and is_written_modulated(graph, r.norm, r.resample) and producer is not None:
                mods = {at[v] for v in (r.mod.gamma, r.mod.beta) if v in at}
                if producer not in _ancestors(before, mods):
                    before[producer] |= mods
    result: dict[int, Fused] = {}
    for i in range(len(fused)):
        _append(i, fused, before, result)
    return tuple(result.values())


def is_written_modulated(graph: Graph, norm: int | None, resample: int) -> bool:
    """Says whether a value may be written modulated for such a read: its norm, if any, must be known beforehand."""
    return resample == 0 and (norm is None or is_constant(graph.nodes[norm]))


def is_constant(norm: Node) -> bool:
    """Says whether a norm is the same for all images."""
    return isinstance(norm.op, ops.BatchNorm)


def _values(op: Fused) -> set[int]:
    """Returns the values that an operation reads, or takes statistics of."""
    values = set(op.parts) if isinstance(op, FusedNorm) else set()
    for r in op.reads:
        values.add(r.value)
        if r.mod:
            values |= {r.mod.gamma, r.mod.beta}
    return values


def _ancestors(before: Sequence[set[int]], of: set[int]) -> set[int]:
    """Returns these operations and all that must run before them."""
    reached: set[int] = set()
    waiting = list(of)
    while waiting:
        i = waiting.pop()
        if i not in reached:
            reached.add(i)
            waiting += before[i]
    return reached


def _append(i: int, fused: Sequence[Fused], before: Sequence[set[int]], result: dict[int, Fused]) -> None:
    if i not in result:
        for earlier in sorted(before[i]):
            _append(earlier, fused, before, result)
        result[i] = fused[i]
