"""A graph says what a network computes: it is a list of operations in an order that can be run."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mlx.core as mx

from sige_mlx.nn.ops import Op, Shape


@dataclass(frozen=True)
class Node:
    """A node is an operation. `inputs` are indices of earlier nodes, `params` maps names of parameters to the
    model's."""

    index: int
    op: Op
    inputs: tuple[int, ...]
    params: Mapping[str, str]
    shape: Shape
    param_shapes: Mapping[str, Shape]

    @property
    def name(self) -> str:
        """This is the layer that it came from (`down.0.block.1.conv1`), or without parameters the kind of operation."""
        for path in self.params.values():
            return path.rsplit(".", 1)[0]
        return type(self.op).__name__


@dataclass(frozen=True)
class Input(Op):
    """The caller gives this value."""

    name: str


@dataclass
class Graph:
    """Nodes are in execution order; `inputs` has the indices of the `Input` nodes by name, `output` that of the
    result; `also` has those of values that are wanted besides it."""

    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    output: int = -1
    also: tuple[int, ...] = ()

    def add(self, op: Op, inputs: Sequence[int], params: Mapping[str, str], param_shapes: Mapping[str, Shape]) -> Node:
        """Appends an operation; raises `SigeError` when its inputs do not fit."""
        shape = op.shape([self.nodes[i].shape for i in inputs], param_shapes)
        node = Node(len(self.nodes), op, tuple(inputs), dict(params), shape, dict(param_shapes))
        self.nodes.append(node)
        return node

    def add_input(self, name: str, shape: Shape) -> Node:
        """Appends a value that the caller will give."""
        node = Node(len(self.nodes), Input(name), (), {}, tuple(shape), {})
        self.nodes.append(node)
        self.inputs[name] = node.index
        return node

    @property
    def wanted(self) -> frozenset[int]:
        """The output, and what is wanted besides it."""
        return frozenset((self.output, *self.also))

    def consumers(self) -> list[list[int]]:
        """Returns for each node the nodes that read it, in order."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for i in dict.fromkeys(node.inputs):
                readers[i].append(node.index)
        return readers

    def macs(self, node: Node) -> int:
        """Returns the multiply-accumulates of a node's dense evaluation."""
        return node.op.macs([self.nodes[i].shape for i in node.inputs], node.param_shapes, node.shape)

    def sees_image(self) -> list[bool]:
        """Says for each node whether it is computed from an image, which is an input with height and width."""
        images = {i for i in self.inputs.values() if len(self.nodes[i].shape) == 4}
        reached = [False] * len(self.nodes)
        for node in self.nodes:
            reached[node.index] = node.index in images or any(reached[i] for i in node.inputs)
        return reached

    def run(self, inputs: Mapping[str, mx.array], params: Mapping[str, mx.array]) -> list[mx.array]:
        """Returns every node's dense value. They are lazy: MLX computes what is asked for."""
        values: list[mx.array] = []
        for node in self.nodes:
            if isinstance(node.op, Input):
                values.append(inputs[node.op.name])
            else:
                given = {name: params[path] for name, path in node.params.items()}
                values.append(node.op([values[i] for i in node.inputs], given))
        return values

    def __str__(self) -> str:
        """Writes a line for each value that is read more than once, or is a plane that costs multiplications. Other
        operations stand where their value is read."""
        times_read = Counter(i for node in self.nodes for i in node.inputs)
        text: list[str] = []  # each node's expression, or the name of its line
        macs: list[int] = []  # what each node costs that stands within another, with those that stand within it
        lines = []
        for node in self.nodes:
            kind, name = type(node.op).__name__, node.op.name if isinstance(node.op, Input) else node.name
            expression = f"{kind}({', '.join(text[i] for i in node.inputs)})"
            own = self.macs(node)
            total = own + sum(macs[i] for i in node.inputs)
            if times_read[node.index] == 1 and node.inputs and not (own and pixels(node.shape) > 1):
                text.append(expression)
                macs.append(total)
                continue
            text.append(f"%{node.index}")
            macs.append(0)
            layer = "" if name == kind else f" {name}"
            cost = f"  {total / 1e9:.3f} GMACs" if total else ""
            lines.append(f"%{node.index} = {expression}{layer}: {'x'.join(map(str, node.shape))}{cost}")
        return "\n".join([*lines, f"return %{self.output}"])


def pixels(shape: Shape) -> int:
    """Returns the number of pixels of an NHWC value."""
    return math.prod(shape[:3])
