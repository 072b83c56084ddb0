"""A model that is called with symbolic tensors is traced: it writes down its graph."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn

from sige_mlx.errors import SigeError, first_line
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


def input_shapes(model: mlx.nn.Module, batch: int = 1) -> dict[str, Shape]:
    """Returns the shapes of a model's arguments by name, as its method `inputs(batch)` tells them. Raises `SigeError`
    for what is no model, and for one that does not tell."""
    if not isinstance(model, mlx.nn.Module):
        raise SigeError(f"a network is an mlx.nn.Module: {type(model).__name__} is none")
    name = type(model).__name__
    right = "inputs(batch) returns the shapes of its arguments by name, such as {'x': (batch, 256, 256, 3)}"
    if not callable(of := getattr(model, "inputs", None)):
        raise SigeError(f"{name} does not tell what it reads: give it a method inputs(batch), where {right}")
    try:
        told = of(batch)
        shapes: dict[str, Shape] = {str(argument): tuple(map(int, shape)) for argument, shape in told.items()}
    except Exception as error:
        raise SigeError(f"{name}.inputs{_place(error)}: {first_line(error)}; {right}") from error
    return shapes


def trace(model: mlx.nn.Module, inputs: Mapping[str, Shape] | None = None) -> Graph:
    """Returns the graph of `model(**inputs)` for inputs of these shapes, by default those that `model.inputs()` tells.
    No parameter is read: only shapes matter. Raises `SigeError` for a model that does not compute with `sige_mlx.nn`.

        graph = sige_mlx.trace(model)
        print(graph)
        print(sum(graph.macs(node) for node in graph.nodes))
    """
    given = input_shapes(model) if inputs is None else inputs
    tracer, name = Tracer(model), type(model).__name__
    try:
        output: Any = model(**{argument: tracer.input(argument, tuple(shape)) for argument, shape in given.items()})
    except SigeError:
        raise
    except Exception as error:
        hint = "networks compute with layers and functions of sige_mlx.nn, and with +"
        said = first_line(error).rstrip(".:")
        raise SigeError(f"{name} cannot be traced{_place(error)}: {said}; {hint}") from error
    if not isinstance(output, SymbolicTensor):
        raise SigeError(f"{name} returned {type(output).__name__}: it must compute with sige_mlx.nn")
    tracer.graph.output = output.node.index
    return tracer.graph


def _place(error: BaseException) -> str:
    """The line of somebody's own code that an exception comes from, in a sentence; nothing where that is none."""
    ours = (Path(__file__).parents[1], Path(mlx.nn.__file__).parents[1])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_file()]
    own = [frame for frame in frames if not any(Path(frame.filename).is_relative_to(folder) for folder in ours)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
