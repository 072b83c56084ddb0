"""Fusion: from a graph's operations to the few that store something.

Norms, activations, concatenations and upsamplings store nothing: they become part of how a convolution *reads* the
values before them. Additions become part of the convolution that *writes*: a time embedding is a vector added to every
pixel, a residual is read by the epilogue, a 1x1 shortcut is one more source of the same convolution.
"""

import math
from dataclasses import dataclass, replace

from sige_mlx.errors import SigeError
from sige_mlx.graph.ir import Graph, Input, Node
from sige_mlx.nn import ops
from sige_mlx.nn.ops import Padding, Shape


@dataclass(frozen=True)
class Read:
    """One stored value as a consumer sees it: act(normalised by `norm`)."""

    value: int
    """Index of the node whose result is stored."""
    norm: int | None = None
    first: int = 0
    """The value's first channel among those of the norm."""
    act: str | None = None


@dataclass(frozen=True)
class View:
    """A concatenation of reads, upsampled by 2 `upsample` times."""

    parts: tuple[Read, ...]
    upsample: int = 0


@dataclass(frozen=True)
class Source:
    """One convolution of a fused one: what it reads and the geometry it reads with."""

    view: View
    weight: str
    weight_shape: Shape
    stride: int
    padding: Padding


@dataclass(frozen=True)
class FusedConv:
    """value = sum of the sources' convolutions + biases + vec + residual."""

    value: int
    shape: Shape
    sources: tuple[Source, ...]
    biases: tuple[str, ...]
    vec: int | None = None
    residual: int | None = None

    @property
    def layer(self) -> str:
        """The path of the layer that does most of the work."""
        return max(self.sources, key=lambda s: math.prod(s.weight_shape)).weight.rsplit(".", 1)[0]


@dataclass(frozen=True)
class FusedNorm:
    """The statistics of a norm over the concatenation of stored values."""

    value: int
    parts: tuple[int, ...]
    groups: int
    eps: float
    weight: str
    bias: str


@dataclass(frozen=True)
class FusedAttention:
    """Attention over stored values q, k, v."""

    value: int
    shape: Shape
    q: int
    k: int
    v: int
    heads: int


@dataclass(frozen=True)
class FusedTimestep:
    """The sinusoidal embedding of an input."""

    value: int
    shape: Shape
    input: str
    max_period: float


Fused = FusedConv | FusedNorm | FusedAttention | FusedTimestep


def fuse(graph: Graph) -> list[Fused]:
    """The fused operations in execution order; raises `SigeError` for a network that computes something the executors
    have no fused form for (the reference executor runs it all the same)."""
    return _Fusion(graph).run()


class _Fusion:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.readers = graph.consumers()
        self.convs: dict[int, FusedConv] = {}  # computed, but perhaps still to be absorbed by an addition
        self.fused: list[Fused] = []

    def run(self) -> list[Fused]:
        needed = self.needed()
        for node in self.graph.nodes:
            op = node.op
            if node.index not in needed:
                continue
            if isinstance(op, ops.Conv2d | ops.Linear):
                self.write(self.conv(node))
            elif isinstance(op, ops.Add):
                self.write(self.add(node))
            elif isinstance(op, ops.GroupNorm):
                self.fused.append(self.norm(node, op))
            elif isinstance(op, ops.Attention):
                q, k, v = (self.stored(node, i) for i in node.inputs)
                self.fused.append(FusedAttention(node.index, node.shape, q, k, v, op.heads))
            elif isinstance(op, ops.TimestepEmbedding):
                source = self.graph.nodes[node.inputs[0]].op
                if not isinstance(source, Input) or op.of != "timestep":
                    raise self.unsupported(node, "embeds what is no timestep")
                self.fused.append(FusedTimestep(node.index, node.shape, source.name, op.max_period))
        if self.graph.output not in self.convs:
            raise self.unsupported(self.graph.nodes[self.graph.output], "is the output but no convolution")
        return self.fused

    def needed(self) -> set[int]:
        """The nodes that the output is computed from."""
        needed = {self.graph.output}
        for node in reversed(self.graph.nodes):
            if node.index in needed:
                needed.update(node.inputs)
        return needed

    def write(self, conv: FusedConv) -> None:
        self.convs[conv.value] = conv
        self.fused.append(conv)

    def conv(self, node: Node) -> FusedConv:
        op, weight = node.op, node.param_shapes["weight"]
        if isinstance(op, ops.Conv2d):
            if op.groups > 1 or op.pad_mode != "zero":
                raise self.unsupported(node, "is no plain convolution")
            stride, padding = op.stride, op.padding
        else:  # a linear layer is a 1x1 convolution
            stride, padding, weight = 1, ((0, 0), (0, 0)), (weight[0], 1, 1, weight[1])
        source = Source(self.view(node.inputs[0]), node.params["weight"], weight, stride, padding)
        biases = (node.params["bias"],) if "bias" in node.params else ()
        return FusedConv(node.index, node.shape, (source,), biases)

    def norm(self, node: Node, op: ops.GroupNorm) -> FusedNorm:
        """Statistics come from the sums that convolutions write, so these are what a norm can follow."""
        view = self.view(node.inputs[0])
        if view.upsample or any(p.norm is not None or p.act or p.value not in self.convs for p in view.parts):
            raise self.unsupported(node, "normalises what no convolution wrote")
        values = tuple(p.value for p in view.parts)
        return FusedNorm(node.index, values, op.groups, op.eps, node.params["weight"], node.params["bias"])

    def add(self, node: Node) -> FusedConv:
        """Absorbs the convolution that one side of an addition is, when nobody else reads it."""
        a, b = node.inputs
        if a == b:
            raise self.unsupported(node, "adds a value to itself")
        if self.graph.nodes[b].shape != node.shape:
            conv = self.absorb(a)
            if conv is None or conv.vec is not None:
                raise self.unsupported(node, "adds a vector to what is no convolution")
            return replace(conv, value=node.index, vec=self.stored(node, b))
        conv = self.absorb(max(a, b))
        other = min(a, b)
        if conv is None:
            conv, other = self.absorb(min(a, b)), max(a, b)
        if conv is None or conv.residual is not None:
            raise self.unsupported(node, "adds two values neither of which is a convolution of its own")
        shortcut = self.absorb(other)
        if shortcut is None:
            return replace(conv, value=node.index, residual=self.stored(node, other))
        if shortcut.vec is not None or shortcut.residual is not None:
            self.write(shortcut)
            return replace(conv, value=node.index, residual=other)
        return replace(
            conv, value=node.index, sources=conv.sources + shortcut.sources, biases=conv.biases + shortcut.biases
        )

    def absorb(self, index: int) -> FusedConv | None:
        """Takes back a convolution that has one reader."""
        conv = self.convs.get(index)
        if conv is None or len(self.readers[index]) != 1 or index == self.graph.output:
            return None
        del self.convs[index]
        self.fused.remove(conv)
        return conv

    def view(self, index: int) -> View:
        """How a consumer reads a node's result."""
        node = self.graph.nodes[index]
        if isinstance(node.op, ops.Concat):
            views = [self.view(i) for i in node.inputs]
            if any(v.upsample for v in views):
                raise self.unsupported(node, "concatenates upsampled values")
            return View(tuple(p for v in views for p in v.parts))
        if isinstance(node.op, ops.UpsampleNearest):
            view = self.view(node.inputs[0])
            if view.upsample:
                raise self.unsupported(node, "upsamples twice")
            return replace(view, upsample=1)
        if isinstance(node.op, ops.GroupNorm):
            parts, first = [], 0
            for p in self.view(node.inputs[0]).parts:
                parts.append(Read(p.value, node.index, first))
                first += self.graph.nodes[p.value].shape[-1]
            return View(tuple(parts))
        if isinstance(node.op, ops.SiLU):
            view = self.view(node.inputs[0])
            if any(p.act for p in view.parts):
                raise self.unsupported(node, "activates twice")
            return replace(view, parts=tuple(replace(p, act="silu") for p in view.parts))
        return View((Read(index),))

    def stored(self, node: Node, index: int) -> int:
        """The value that must be read as it was stored."""
        if self.view(index) != View((Read(index),)):
            raise self.unsupported(node, "reads a value that is not stored")
        return index

    def unsupported(self, node: Node, why: str) -> SigeError:
        return SigeError(f"{node.name} (node {node.index}) {why}: only device='reference' runs such a network")
