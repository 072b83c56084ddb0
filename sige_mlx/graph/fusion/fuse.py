"""This module decides which operations of a graph become one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion.forms import (
    Embedding,
    Fused,
    FusedAttention,
    FusedConv,
    FusedEmbedding,
    FusedNorm,
    Groups,
    Read,
    Term,
    Unfused,
)
from sige_mlx.graph.fusion.order import ordered
from sige_mlx.graph.fusion.views import Views, is_vector, is_view, unsupported
from sige_mlx.graph.ir import Graph, Input, Node
from sige_mlx.graph.program import MAX_HEADS, MAX_KERNEL, MAX_SOURCES, MAX_STRIDE
from sige_mlx.nn import ops


def fuse(graph: Graph) -> Groups:
    """Groups the operations of a graph, in an order that can be run. A node that the executors of programs have no form
    for is `Unfused`: such a network is traced and costed all the same, and the reference executor runs it."""
    return _Fusion(graph).run()


class _Fusion:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.views = Views(graph)
        self.readers = graph.consumers()
        self.needed = self._needed()
        self.written: dict[int, FusedConv] = {}  # what follows may still absorb these
        self.fused: list[Fused] = []
        self.within: dict[int, int] = {}

    def run(self) -> Groups:
        for node in self.graph.nodes:
            if node.index in self.needed:
                self.attempt(node, self.node)
        if not any(
            op.value == self.graph.output for op in self.fused if not isinstance(op, FusedNorm | FusedAttention)
        ):
            self.attempt(self.graph.nodes[self.graph.output], self.output)
        groups = Groups(tuple(self.fused), self.within)
        return groups if groups.unfused else replace(groups, ops=ordered(self.graph, self.fused))

    def attempt(self, node: Node, form: Callable[[Node], None]) -> None:
        try:
            form(node)
        except SigeError as error:
            self.fused.append(Unfused(node.index, node.shape, str(error)))

    def node(self, node: Node) -> None:
        """Chooses by the very type of an operation, for a type that is derived from it may compute something else."""
        form = _FORMS.get(type(node.op))
        if not isinstance(node.op, Input) and len(node.shape) != 4:
            raise unsupported(node, f"gives {node.shape}, which is no (B, H, W, C)")
        if form:
            form(self, node)
        elif not isinstance(node.op, Input) and not is_view(node.op):
            raise unsupported(node, "is an operation without a fused form")

    def _needed(self) -> set[int]:
        """Returns the nodes that the output, and what is wanted besides it, is computed from."""
        needed = {*self.graph.wanted}
        for node in reversed(self.graph.nodes):
            if node.index in needed:
                needed.update(node.inputs)
        return needed

    def write(self, op: FusedConv) -> None:
        self.written[op.value] = op
        self.fused.append(op)

    def conv(self, node: Node) -> None:
        op = node.op
        assert isinstance(op, ops.Convolution)
        by_channel = op.groups > 1
        reads = self.one_read(node) if by_channel else self.views.of(node.inputs[0])
        if op.transposed and any(r.resample or r.mod for r in reads):
            raise unsupported(node, "reads a resampled or modulated value")
        if len(reads) > MAX_SOURCES:
            raise unsupported(node, f"reads more than {MAX_SOURCES} values at once")
        _, kh, kw, _ = kernel = op.kernel(node.param_shapes["weight"])
        (top, _), (left, _) = op.padding
        if max(kh, kw) > MAX_KERNEL or op.stride > MAX_STRIDE or top > kh or left > kw:
            limits = f"{MAX_KERNEL}x{MAX_KERNEL}, a stride above {MAX_STRIDE}"
            raise unsupported(node, f"has a kernel larger than {limits}, or a padding wider than its kernel")
        term = Term(reads, node.params["weight"], kernel, op.stride, op.padding, op.pad_mode, op.transposed)
        biases = (node.params["bias"],) if "bias" in node.params else ()
        self.write(FusedConv(node.index, node.shape, (term,), biases, by_channel))

    def pool(self, node: Node) -> None:
        mean = Term(self.one_read(node), None, (node.shape[-1], 2, 2, 1), stride=2)
        self.write(FusedConv(node.index, node.shape, (mean,), by_channel=True))

    def attention(self, node: Node) -> None:
        op = node.op
        assert isinstance(op, ops.Attention)
        if op.heads > MAX_HEADS:
            raise unsupported(node, f"has more than {MAX_HEADS} heads")
        q, k, v = (self.stored(node, i) for i in node.inputs)
        self.fused.append(FusedAttention(node.index, node.shape, q, k, v, op.heads))

    def embedding(self, node: Node) -> None:
        source = self.graph.nodes[node.inputs[0]].op
        assert isinstance(node.op, ops.TimestepEmbedding)
        if not isinstance(source, Input):
            raise unsupported(node, "embeds what is no input")
        self.fused.append(FusedEmbedding(node.index, node.shape, Embedding(source.name, node.op)))

    def norm(self, node: Node) -> None:
        """Leaves a norm that nothing but FiLMs read to these."""
        films = [self.is_film(i) for i in self.readers[node.index] if i in self.needed]
        if not films or not all(films):
            self.fused.append(self.norm_of(node))

    def norm_of(self, node: Node) -> FusedNorm:
        """A norm follows convolutions, for these write the sums that it needs; upsampling does not change
        statistics."""
        op = node.op
        assert isinstance(op, ops.SampleNorm)
        parts = self.views.of(node.inputs[0])
        up = parts[0].resample
        if up < 0 or any(r != Read(r.value, up) or r.value not in self.written for r in parts):
            raise unsupported(node, "normalises what no convolution wrote")
        if len(parts) > MAX_SOURCES:
            raise unsupported(node, f"normalises more than {MAX_SOURCES} values at once")
        groups, weight, bias = op.groups_of(node.shape[-1]), node.params.get("weight"), node.params.get("bias")
        return FusedNorm(node.index, node.index, tuple(r.value for r in parts), groups, op.eps, weight, bias)

    def is_film(self, index: int) -> bool:
        node = self.graph.nodes[index]
        return isinstance(node.op, ops.Modulate) and is_vector(self.graph, node)

    def modulate(self, node: Node) -> None:
        """A modulation by planes is a part of how its result is read. One by a vector is a part of the norm before it;
        where statistics are the recorded ones, scale and shift are, too, so the vector must be that of the original."""
        if not self.is_film(node.index):
            return
        self.views.of(node.index)  # this refuses a modulation without a norm
        vector = self.stored(node, node.inputs[1])
        if self.graph.sees_image()[vector]:
            raise unsupported(node, "modulates by a vector that depends on the image")
        norm = self.norm_of(self.graph.nodes[node.inputs[0]])
        self.fused.append(replace(norm, value=node.index, film=vector))

    def output(self, node: Node) -> None:
        """Lets the convolution before an activation write the output, or else a copy."""
        if node.op in ops.ACTIVATIONS:
            conv = self.absorb(node.inputs[0], node)
            if conv is not None:
                self.write(replace(conv, value=node.index, act=node.op))
                return
        reads = self.one_read(node, node.index)
        if reads[0].value == node.index:
            raise unsupported(node, "is the output but no convolution")
        self.write(self.copy(node, reads))

    def copy(self, node: Node, reads: tuple[Read, ...]) -> FusedConv:
        """Returns the operation that stores one read as the value of a node."""
        one = Term(reads, None, (node.shape[-1], 1, 1, 1))
        return FusedConv(node.index, node.shape, (one,), by_channel=True)

    def add(self, node: Node) -> None:
        self.write(self.sum_of(node))

    def sum_of(self, node: Node) -> FusedConv:
        """Absorbs one side of an addition, if it is a convolution that nobody else reads. The other side becomes a
        residual, or, as a shortcut, one more term. Where neither side is stored, the earlier one is stored first: in a
        chain of residual blocks that is the identity, which all of them can then read."""
        a, b = node.inputs
        if self.graph.nodes[b].shape != node.shape:
            conv, vec = self.own(a), self.stored(node, b)
            if conv is None or conv.by_channel or conv.vec is not None:
                raise unsupported(node, "adds a vector to what is no convolution")
            self.absorb(a, node)
            return replace(conv, value=node.index, vec=vec)
        sides = [(max(a, b), min(a, b)), (min(a, b), max(a, b))] if a != b else []
        for absorbed, other in sorted(sides, key=lambda s: s[0] not in self.written or self.written[s[0]].by_channel):
            conv = self.own(absorbed)
            if conv is None or conv.residual is not None:
                continue
            shortcut = self.own(other)
            if not conv.by_channel and shortcut is not None and shortcut.is_plain:
                terms, biases = conv.terms + shortcut.terms, conv.biases + shortcut.biases
                if sum(len(term.reads) for term in terms) <= MAX_SOURCES:
                    self.absorb(absorbed, node), self.absorb(other, node)
                    return replace(conv, value=node.index, terms=terms, biases=biases)
            residual = self.residual(other)
            if residual is not None:
                self.absorb(absorbed, node)
                return replace(conv, value=node.index, residual=residual)
        for read, other in sides or [(a, b)]:
            residual = self.residual(other)
            if residual is not None:
                return replace(self.copy(node, self.one_read(node, read)), residual=residual)
        stored, read = min(a, b), max(a, b)
        self.write(self.copy(self.graph.nodes[stored], self.one_read(node, stored)))
        return replace(self.copy(node, self.one_read(node, read)), residual=Read(stored))

    def residual(self, index: int) -> Read | None:
        """Returns how an epilogue reads a value that it adds, or None where it cannot."""
        if index in self.written:
            return Read(index)
        reads = self.views.of(index)
        added = reads[0]
        return added if len(reads) == 1 and added in (Read(added.value), Read(added.value, 1)) else None

    def own(self, index: int) -> FusedConv | None:
        """Returns the convolution that computes a node, if it has one reader only."""
        only = len(self.readers[index]) == 1 and index not in self.graph.wanted
        return self.written.get(index) if only else None

    def absorb(self, index: int, by: Node) -> FusedConv | None:
        """Takes back a convolution that has one reader, so that it is computed with that reader."""
        op = self.own(index)
        if op is not None:
            del self.written[index]
            self.fused.remove(op)
            self.within[index] = by.index
        return op

    def one_read(self, node: Node, index: int | None = None) -> tuple[Read, ...]:
        """Returns how a node, by default the input of `node`, is read by an operation that takes no concatenation."""
        reads = self.views.of(node.inputs[0] if index is None else index)
        if len(reads) > 1:
            raise unsupported(node, "reads a concatenation")
        return reads

    def stored(self, node: Node, index: int) -> int:
        """Returns a value that must be read as it was stored."""
        reads = self.views.of(index)
        if len(reads) > 1 or not reads[0].stored:
            raise unsupported(node, "reads a value that is not stored")
        return index


_FORMS: Mapping[type[ops.Op], Callable[[_Fusion, Node], None]] = {
    ops.Conv2d: _Fusion.conv,
    ops.ConvTranspose2d: _Fusion.conv,
    ops.Linear: _Fusion.conv,
    ops.AvgPool2d: _Fusion.pool,
    ops.Add: _Fusion.add,
    ops.GroupNorm: _Fusion.norm,
    ops.InstanceNorm: _Fusion.norm,
    ops.Modulate: _Fusion.modulate,
    ops.Attention: _Fusion.attention,
    ops.TimestepEmbedding: _Fusion.embedding,
}
"""These operations are no mere views: each adds a group, or joins one."""
