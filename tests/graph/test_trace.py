"""Tracing: the graph of the published network, and that a graph computes what its model computes."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn
import pytest
from hypothesis import given
from mlx.utils import tree_flatten

from sige_mlx import nn, zoo
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.families import KNOWN
from sige_mlx.graph.ir import Input, pixels
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec, specs


def test_the_published_network() -> None:
    model = DDPMUNet(DDPMConfig())
    graph = trace(model, model.inputs())
    assert sum(graph.macs(node) for node in graph.nodes) == pytest.approx(248.5e9, abs=0.2e9)
    used = {path for node in graph.nodes for path in node.params.values()}
    assert used == {name for name, _ in tree_flatten(model.parameters())}
    assert [node.op.name for node in graph.nodes if isinstance(node.op, Input)] == ["x", "t"]
    assert graph.nodes[graph.output].name == "conv_out"
    assert graph.nodes[graph.output].shape == (1, 256, 256, 3)


@given(specs())
def test_a_graph_computes_what_its_model_computes(spec: Spec) -> None:
    model = RandomUNet(spec)
    shapes = model.inputs(2)
    inputs = {name: mx.random.normal(shape, key=mx.random.key(1)) for name, shape in shapes.items()}
    graph = trace(model, shapes)
    values = graph.run(inputs, dict(tree_flatten(model.parameters())))
    assert mx.array_equal(values[graph.output], model(**inputs))


def test_inputs_are_earlier_nodes() -> None:
    model = RandomUNet(Spec(16, 16, 3, (("down", 8), ("block", 8), ("up", 6)), norm_out=True, time=True))
    graph = trace(model, model.inputs())
    for node in graph.nodes:
        assert all(i < node.index for i in node.inputs)
        assert graph.nodes[node.index] is node
    readers = graph.consumers()
    assert all(node.index in readers[i] for node in graph.nodes for i in node.inputs)
    assert readers[graph.output] == []


def test_printing() -> None:
    model = Net((4, 4, 2), lambda m, x: m.b(nn.silu(m.a(x))) + x, a=conv(2, 2), b=conv(2, 2))
    assert str(trace(model, {"x": (1, 4, 4, 2)})).splitlines() == [
        "%0 = Input() x: 1x4x4x2",
        "%1 = Conv2d(%0) a: 1x4x4x2  0.000 GMACs",
        "%3 = Conv2d(SiLU(%1)) b: 1x4x4x2  0.000 GMACs",
        "%4 = Add(%3, %0): 1x4x4x2",
        "return %4",
    ]


@pytest.mark.parametrize("name", KNOWN)
def test_networks_are_short_enough_to_read(name: str) -> None:
    """Two or three lines for each layer that costs multiplications, all of which are in it by name and with their cost,
    and no line that a window breaks."""
    model = zoo.network(name).model
    graph = trace(model, model.inputs())
    lines = str(graph).splitlines()
    assert len(lines) < 350
    assert max(map(len, lines)) <= 120
    layers = {node.name for node in graph.nodes if node.params and graph.macs(node) and pixels(node.shape) > 1}
    assert layers <= {word.rstrip(":") for line in lines for word in line.split()}
    costs = [float(line.split()[-2]) for line in lines if line.endswith("GMACs")]
    assert sum(costs) == pytest.approx(sum(map(graph.macs, graph.nodes)) / 1e9, abs=0.0005 * len(costs))


def test_what_sees_the_image() -> None:
    model = RandomUNet(Spec(8, 8, 3, (("block", 8),), norm_out=False, time=True))
    graph = trace(model, model.inputs())
    seen = graph.sees_image()
    named = {node.name: node.index for node in graph.nodes if node.params}
    assert not seen[named["embed"]] and seen[named["conv_in"]] and seen[graph.output]


def test_no_weight_is_evaluated() -> None:
    """Planning a network of gigabytes must not make its random initial weights."""
    model = DDPMUNet(DDPMConfig(ch=1024))
    before = mx.get_active_memory()
    trace(model, model.inputs())
    assert mx.get_active_memory() - before < 2**20


def test_models_that_return_something_else_are_refused() -> None:
    class Constant(mlx.nn.Module):
        def __call__(self, x: object) -> mx.array:
            return mx.zeros((1,))

    with pytest.raises(SigeError, match=r"^Constant returned array: it must compute with sige_mlx.nn$"):
        trace(Constant(), {"x": (1, 4, 4, 2)})


class _Own(mlx.nn.Module):
    """A network of somebody's own, with one layer."""

    def __init__(self, layer: mlx.nn.Module | None = None):
        super().__init__()
        self.layer = layer or conv(3, 3)

    def inputs(self, batch: int = 1) -> object:
        return {"x": (batch, 8, 8, 3)}

    def __call__(self, x: object) -> object:
        return self.layer(x)


class Silent(_Own):
    inputs = None  # type: ignore[assignment]


class ListOfInputs(_Own):
    def inputs(self, batch: int = 1) -> object:
        return [(batch, 8, 8, 3)]


class NoBatch(_Own):
    def inputs(self) -> object:  # type: ignore[override]
        return {"x": (1, 8, 8, 3)}


class OtherName(_Own):
    def inputs(self, batch: int = 1) -> object:
        return {"picture": (batch, 8, 8, 3)}


class Scaled(_Own):
    def __call__(self, x: object) -> object:
        return self.layer(x) * 2


class Cut(_Own):
    def __call__(self, x: object) -> object:
        return self.layer(x)[:, :4]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (None, "^a network is an mlx.nn.Module: NoneType is none$"),
        (Silent(), r"^Silent does not tell what it reads: give it a method inputs\(batch\)"),
        (ListOfInputs(), r"^ListOfInputs\.inputs: 'list' object has no attribute 'items'; inputs\(batch\) returns"),
        (NoBatch(), r"^NoBatch\.inputs: .*takes 1 positional argument.*; inputs\(batch\) returns"),
        (OtherName(), "^OtherName cannot be traced: .*unexpected keyword argument 'picture'"),
        (_Own(mlx.nn.Conv2d(3, 3, 3)), r"^_Own cannot be traced \(test_trace\.py, line \d+\): conv2d.* sige_mlx\.nn"),
        (Scaled(), r"^Scaled cannot be traced \(test_trace\.py, line \d+\): unsupported operand.* sige_mlx\.nn"),
        (Cut(), r"^Cut cannot be traced \(test_trace\.py, line \d+\): .*not subscriptable; .* sige_mlx\.nn"),
    ],
)
def test_networks_of_ones_own_are_told_what_they_lack(model: Any, sentence: str) -> None:
    """By a sentence, where the engine meets them first: what raised it goes with it."""
    for meet in (Engine, trace):
        with pytest.raises(SigeError, match=sentence):
            meet(model)


def test_a_model_says_what_it_is_traced_with() -> None:
    assert str(trace(model := _Own())) == str(trace(model, {"x": (1, 8, 8, 3)}))
