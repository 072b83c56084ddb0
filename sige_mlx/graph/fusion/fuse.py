"""What becomes one operation."""

from collections.abc import Callable
from dataclasses import replace

from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion.forms import (
    ACTIVATIONS,
    Embedding,
    Fused,
    FusedAttention,
    FusedConv,
    FusedDepthwise,
    FusedEmbedding,
    FusedNorm,
    Groups,
    Read,
    Source,
    Unfused,
    Written,
)
from sige_mlx.graph.fusion.order import ordered
from sige_mlx.graph.fusion.views import Views, is_vector, is_view, unsupported
from sige_mlx.graph.ir import Graph, Input, Node
from sige_mlx.nn import ops


def fuse(graph: Graph) -> Groups:
    """What becomes one operation, in an order that can be run. A node that the executors of programs have no form for
    is `Unfused`: such a network is traced and costed all the same, and the reference executor runs it."""
    return _Fusion(graph).run()


class _Fusion:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.views = Views(graph)
        self.readers = graph.consumers()
        self.needed = self._needed()
        self.written: dict[int, Written] = {}  # computed, but perhaps still to be absorbed by what follows
        self.fused: list[Fused] = []
        self.within: dict[int, int] = {}

    def run(self) -> Groups:
        for node in self.graph.nodes:
            if node.index in self.needed:
                self.attempt(node, self.node)
        if not any(
            op.value == self.graph.output for op in self.fused if not isinstance(op, FusedNorm | FusedAttention)
        ):
            self.attempt(self.graph.nodes[self.graph.output], lambda node: self.write(self.output(node)))
        groups = Groups(tuple(self.fused), self.within)
        return groups if groups.unfused else replace(groups, ops=ordered(self.graph, self.fused))

    def attempt(self, node: Node, form: Callable[[Node], None]) -> None:
        try:
            form(node)
        except SigeError as error:
            self.fused.append(Unfused(node.index, node.shape, str(error)))

    def node(self, node: Node) -> None:
        op = node.op
        if isinstance(op, ops.Conv2d) and op.groups > 1:
            self.write(self.depthwise(node, op))
        elif isinstance(op, ops.Conv2d | ops.ConvTranspose2d | ops.Linear):
            self.write(self.conv(node))
        elif isinstance(op, ops.AvgPool2d):
            mean = Source(self.one_read(node), None, (node.shape[-1], 2, 2, 1), stride=2)
            self.write(FusedDepthwise(node.index, node.shape, mean))
        elif isinstance(op, ops.Add):
            self.write(self.add(node))
        elif isinstance(op, ops.GroupNorm | ops.InstanceNorm):
            films = [self.is_film(i) for i in self.readers[node.index] if i in self.needed]
            if not films or not all(films):
                self.fused.append(self.norm(node))
        elif self.is_film(node.index):
            self.fused.append(self.film(node))
        elif isinstance(op, ops.Attention):
            q, k, v = (self.stored(node, i) for i in node.inputs)
            self.fused.append(FusedAttention(node.index, node.shape, q, k, v, op.heads))
        elif isinstance(op, ops.TimestepEmbedding):
            source = self.graph.nodes[node.inputs[0]].op
            if not isinstance(source, Input):
                raise unsupported(node, "embeds what is no input")
            self.fused.append(FusedEmbedding(node.index, node.shape, Embedding(source.name, op)))
        elif not isinstance(op, Input) and not is_view(op):
            raise unsupported(node, "is an operation without a fused form")

    def _needed(self) -> set[int]:
        """The nodes that the output is computed from."""
        needed = {self.graph.output}
        for node in reversed(self.graph.nodes):
            if node.index in needed:
                needed.update(node.inputs)
        return needed

    def write(self, op: Written) -> None:
        self.written[op.value] = op
        self.fused.append(op)

    def conv(self, node: Node) -> FusedConv:
        op, weight = node.op, node.param_shapes["weight"]
        source = Source(self.views.of(node.inputs[0]), node.params["weight"], weight)
        if isinstance(op, ops.Conv2d):
            source = replace(source, stride=op.stride, padding=op.padding, pad_mode=op.pad_mode)
        elif isinstance(op, ops.ConvTranspose2d):
            if any(r.resample or r.mod for r in source.reads):
                raise unsupported(node, "reads a resampled or modulated value")
            source = replace(source, padding=((1, 1), (1, 1)), transposed=True)
        else:  # a linear layer is a 1x1 convolution
            source = replace(source, weight_shape=(weight[0], 1, 1, weight[1]))
        biases = (node.params["bias"],) if "bias" in node.params else ()
        return FusedConv(node.index, node.shape, (source,), biases)

    def depthwise(self, node: Node, op: ops.Conv2d) -> FusedDepthwise:
        weight = node.param_shapes["weight"]
        source = Source(self.one_read(node), node.params["weight"], weight, op.stride, op.padding, op.pad_mode)
        return FusedDepthwise(node.index, node.shape, source, node.params.get("bias"))

    def norm(self, node: Node) -> FusedNorm:
        """Statistics come from the sums that convolutions write, so these are what a norm can follow; upsampled, their
        results have the same."""
        op = node.op
        assert isinstance(op, ops.GroupNorm | ops.InstanceNorm)
        parts = self.views.of(node.inputs[0])
        up = parts[0].resample
        if up < 0 or any(r != Read(r.value, up) or r.value not in self.written for r in parts):
            raise unsupported(node, "normalises what no convolution wrote")
        groups = op.groups if isinstance(op, ops.GroupNorm) else node.shape[-1]
        weight, bias = node.params.get("weight"), node.params.get("bias")
        return FusedNorm(node.index, node.index, tuple(r.value for r in parts), groups, op.eps, weight, bias)

    def is_film(self, index: int) -> bool:
        node = self.graph.nodes[index]
        return isinstance(node.op, ops.Modulate) and is_vector(self.graph, node)

    def film(self, node: Node) -> FusedNorm:
        """Where statistics are the recorded ones, so are scale and shift: the vector must be that of the original."""
        self.views.of(node.index)  # refuses what has no norm
        vector = self.stored(node, node.inputs[1])
        if self.graph.sees_image()[vector]:
            raise unsupported(node, "modulates by a vector that depends on the image")
        return replace(self.norm(self.graph.nodes[node.inputs[0]]), value=node.index, film=vector)

    def output(self, node: Node) -> Written:
        """What writes an output that no convolution is: the convolution under its activation, or else a copy."""
        if isinstance(node.op, ops.Activation):
            op = self.absorb(node.inputs[0], node)
            if op is not None:
                return replace(op, value=node.index, act=ACTIVATIONS[type(node.op)])
        reads = self.one_read(node, node.index)
        if reads[0].value == node.index:
            raise unsupported(node, "is the output but no convolution")
        return self.copy(node, reads)

    def copy(self, node: Node, reads: tuple[Read, ...]) -> FusedDepthwise:
        """One read, stored as the value of a node."""
        return FusedDepthwise(node.index, node.shape, Source(reads, None, (node.shape[-1], 1, 1, 1)))

    def add(self, node: Node) -> Written:
        """Absorbs the convolution that one side of an addition is, when nobody else reads it; the other side is a
        residual, or a shortcut that becomes one more source. Where neither side is stored, the earlier one is: in a
        network's residual blocks that is the identity, of which there is one for all of them."""
        a, b = node.inputs
        if self.graph.nodes[b].shape != node.shape:
            conv, vec = self.own(a), self.stored(node, b)
            if not isinstance(conv, FusedConv) or conv.vec is not None:
                raise unsupported(node, "adds a vector to what is no convolution")
            self.absorb(a, node)
            return replace(conv, value=node.index, vec=vec)
        sides = [(max(a, b), min(a, b)), (min(a, b), max(a, b))] if a != b else []
        for absorbed, other in sorted(sides, key=lambda s: not isinstance(self.written.get(s[0]), FusedConv)):
            op = self.own(absorbed)
            if op is None or op.residual is not None:
                continue
            shortcut = self.own(other)
            if isinstance(op, FusedConv) and isinstance(shortcut, FusedConv) and shortcut.is_plain:
                self.absorb(absorbed, node), self.absorb(other, node)
                sources, biases = op.sources + shortcut.sources, op.biases + shortcut.biases
                return replace(op, value=node.index, sources=sources, biases=biases)
            residual = self.residual(other)
            if residual is not None:
                self.absorb(absorbed, node)
                return replace(op, value=node.index, residual=residual)
        for read, other in sides or [(a, b)]:
            residual = self.residual(other)
            if residual is not None:
                return replace(self.copy(node, self.one_read(node, read)), residual=residual)
        stored, read = min(a, b), max(a, b)
        self.write(self.copy(self.graph.nodes[stored], self.one_read(node, stored)))
        return replace(self.copy(node, self.one_read(node, read)), residual=Read(stored))

    def residual(self, index: int) -> Read | None:
        """How an epilogue adds a value, if it can."""
        if index in self.written:
            return Read(index)
        reads = self.views.of(index)
        added = reads[0]
        return added if len(reads) == 1 and added in (Read(added.value), Read(added.value, 1)) else None

    def own(self, index: int) -> Written | None:
        """A convolution that has one reader."""
        only = len(self.readers[index]) == 1 and index != self.graph.output
        return self.written.get(index) if only else None

    def absorb(self, index: int, by: Node) -> Written | None:
        """Takes back a convolution that has one reader, to be computed with that."""
        op = self.own(index)
        if op is not None:
            del self.written[index]
            self.fused.remove(op)
            self.within[index] = by.index
        return op

    def one_read(self, node: Node, index: int | None = None) -> tuple[Read, ...]:
        """How a node, by default what `node` reads, is read by what takes no concatenation."""
        reads = self.views.of(node.inputs[0] if index is None else index)
        if len(reads) > 1:
            raise unsupported(node, "reads a concatenation")
        return reads

    def stored(self, node: Node, index: int) -> int:
        """The value that must be read as it was stored."""
        reads = self.views.of(index)
        if len(reads) > 1 or not reads[0].stored:
            raise unsupported(node, "reads a value that is not stored")
        return index
