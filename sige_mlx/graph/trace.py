"""A model that is called with symbolic tensors is traced: it writes down its graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn

from sige_mlx.errors import SigeError
from sige_mlx.graph.ir import Graph, Node
from sige_mlx.nn.module import parameters
from sige_mlx.nn.ops import Add, Op, Shape


@dataclass(frozen=True)
class SymbolicTensor:
    """It stands for a value of a graph under construction."""

    tracer: "Tracer"
    node: Node

    @property
    def shape(self) -> Shape:
        return self.node.shape

    def apply(
        self, op: Op, inputs: "Sequence[SymbolicTensor | mx.array]", params: dict[str, mx.array]
    ) -> "SymbolicTensor":
        """Returns the value of `op`. Raises `SigeError` when an array that is no parameter of the model is mixed in."""
        return self.tracer.append(op, inputs, params)

    def __add__(self, other: "SymbolicTensor | mx.array") -> "SymbolicTensor":
        return self.apply(Add(), [self, other], {})


class Tracer:
    """It collects the operations of one call of a model."""

    def __init__(self, model: mlx.nn.Module):
        self.graph = Graph()
        # The arrays stay referenced by the model for as long as the tracer lives, so their ids are unique names.
        self._names = {id(array): path for path, array in parameters(model).items()}

    def input(self, name: str, shape: Shape) -> SymbolicTensor:
        return SymbolicTensor(self, self.graph.add_input(name, shape))

    def append(
        self, op: Op, inputs: "Sequence[SymbolicTensor | mx.array]", params: dict[str, mx.array]
    ) -> SymbolicTensor:
        indices = []
        for x in inputs:
            if not isinstance(x, SymbolicTensor):
                raise SigeError(f"{type(op).__name__} mixes a symbolic tensor with an array that is not traced")
            indices.append(x.node.index)
        for name, p in params.items():
            if id(p) not in self._names:
                raise SigeError(f"{type(op).__name__}: its {name} is no parameter of the model")
        paths = {name: self._names[id(p)] for name, p in params.items()}
        shapes = {name: tuple(p.shape) for name, p in params.items()}
        return SymbolicTensor(self, self.graph.add(op, indices, paths, shapes))


def trace(model: mlx.nn.Module, inputs: Mapping[str, Shape]) -> Graph:
    """Returns the graph of `model(**inputs)` for inputs of these shapes. No parameter is read: only shapes matter."""
    tracer = Tracer(model)
    output = model(**{name: tracer.input(name, tuple(shape)) for name, shape in inputs.items()})
    if not isinstance(output, SymbolicTensor):
        raise SigeError(f"{type(model).__name__} returned {type(output).__name__}: it must compute with sige_mlx.nn")
    tracer.graph.output = output.node.index
    return tracer.graph
