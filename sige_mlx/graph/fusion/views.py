"""This module finds how a node's result is read: through the operations that store nothing, down to stored values."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion.forms import Modulation, Read
from sige_mlx.graph.ir import Graph, Node
from sige_mlx.nn import ops

Reads = tuple[Read, ...]
"""Several reads are concatenated along channels."""


class Views:
    """It knows how the nodes of one graph are read."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def of(self, index: int) -> Reads:
        """Returns how a node is read. Raises `SigeError` when its operations cannot be a part of one read."""
        node = self.graph.nodes[index]
        if node.op in ops.ACTIVATIONS:
            return self._activated(node)
        view = _VIEWS.get(type(node.op))
        return view(self, node) if view else (Read(index),)

    def _concatenated(self, node: Node) -> Reads:
        return tuple(read for i in node.inputs for read in self.of(i))

    def _activated(self, node: Node) -> Reads:
        reads = self.of(node.inputs[0])
        if any(r.act for r in reads):
            raise unsupported(node, "activates twice")
        assert isinstance(node.op, ops.Activation)
        return tuple(replace(r, act=node.op) for r in reads)

    def _resampled(self, node: Node) -> Reads:
        reads = self.of(node.inputs[0])
        by = 1 - node.op.factor.bit_length() if isinstance(node.op, ops.DownsampleNearest) else 1
        if any(r.resample > 0 or by > 0 > r.resample for r in reads):
            raise unsupported(node, "resamples what is upsampled, or upsamples what is downsampled")
        if any(r.mod for r in reads):
            raise unsupported(node, "resamples a modulated value")
        return tuple(replace(r, resample=r.resample + by) for r in reads)

    def _normalised(self, node: Node) -> Reads:
        """The value may be resampled: a batch norm is the same for every pixel. Groups of other norms refuse that."""
        reads, first = [], 0
        for r in self.of(node.inputs[0]):
            if r.norm is not None or r.mod or r.act:
                raise unsupported(node, "normalises what is normalised, modulated or activated")
            reads.append(replace(r, norm=node.index, first=first))
            first += self.channels(r)
        return tuple(reads)

    def _modulated(self, node: Node) -> Reads:
        if is_vector(self.graph, node):
            return self._film(node)
        by = self.of(node.inputs[1])
        if not all(r.stored for r in by):
            raise unsupported(node, "is modulated by a value that is not stored")
        reads, first = [], 0
        for r in self.of(node.inputs[0]):
            if r.mod or r.act:
                raise unsupported(node, "modulates what is modulated or activated")
            c = self.channels(r)
            gamma, beta = (self._channels_of(by, at, c) for at in (first, node.shape[-1] + first))
            if gamma is None or beta is None:
                raise unsupported(node, "is modulated by channels of several values")
            reads.append(replace(r, mod=Modulation(*gamma, *beta)))
            first += c
        return tuple(reads)

    def _film(self, node: Node) -> Reads:
        """Returns the read that its norm would be, for the norm's scale and shift become those of both."""
        if not isinstance(self.graph.nodes[node.inputs[0]].op, ops.SampleNorm):
            raise unsupported(node, "modulates by a vector what is not normalised by its own statistics")
        return tuple(replace(r, norm=node.index) for r in self.of(node.inputs[0]))

    def _channels_of(self, reads: Reads, first: int, count: int) -> tuple[int, int] | None:
        """Returns the one value that holds so many channels of a concatenation, and which of its own is the first."""
        for r in reads:
            c = self.channels(r)
            if 0 <= first <= c - count:
                return r.value, first
            first -= c
        return None

    def channels(self, read: Read) -> int:
        """Returns how many channels a read has."""
        return self.graph.nodes[read.value].shape[-1]


_VIEWS: Mapping[type[ops.Op], Callable[[Views, Node], Reads]] = {
    ops.Concat: Views._concatenated,
    ops.UpsampleNearest: Views._resampled,
    ops.DownsampleNearest: Views._resampled,
    ops.GroupNorm: Views._normalised,
    ops.InstanceNorm: Views._normalised,
    ops.BatchNorm: Views._normalised,
    ops.Modulate: Views._modulated,
}


def is_view(op: ops.Op) -> bool:
    """Says whether an operation stores nothing, for it is a part of how its result is read."""
    return type(op) in _VIEWS or op in ops.ACTIVATIONS


def is_vector(graph: Graph, modulate: Node) -> bool:
    """Says whether a modulation is the same for all pixels of an image that has more than one."""
    return graph.nodes[modulate.inputs[1]].shape[1:3] != modulate.shape[1:3]


def unsupported(node: Node, why: str) -> SigeError:
    """Returns the error for a node that has no fused form."""
    return SigeError(f"{node.name} (node {node.index}) {why}: only device='reference' runs such a network")
