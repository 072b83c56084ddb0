"""Tracing: the graph of the published network, and that a graph computes what its model computes."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn
import pytest
from hypothesis import given
from mlx.utils import tree_flatten

from sige_mlx import zoo
from sige_mlx.errors import SigeError
from sige_mlx.graph.ir import Input
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.nn.module import parameters
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
    model = Net((4, 4, 2), lambda m, x: m.a(x) + x, a=conv(2, 2))
    assert str(trace(model, model.inputs())).splitlines() == [
        "%0 = Input() x: 1x4x4x2",
        "%1 = Conv2d(%0) a: 1x4x4x2  0.000 GMACs",
        "%2 = Add(%1, %0): 1x4x4x2",
        "return %2",
    ]


@pytest.mark.parametrize("name", ["ddpm-church-256", "pd-church-256", "gaugan-cityscapes", "cyclegan-monet"])
def test_networks_are_short_enough_to_read(name: str) -> None:
    """A line for each operation, and no line that a terminal breaks; every layer is in it by its name."""
    _, model = zoo.network(name)
    graph = trace(model, model.inputs())
    lines = str(graph).splitlines()
    assert len(lines) == len(graph.nodes) + 1 < 800
    assert max(map(len, lines)) <= 80
    layers = {path.rpartition(".")[0] for path in parameters(model)}
    assert layers <= {word.rstrip(":") for line in lines for word in line.split()}


def test_what_depends_on_an_input() -> None:
    model = RandomUNet(Spec(8, 8, 3, (("block", 8),), norm_out=False, time=True))
    graph = trace(model, model.inputs())
    on_x, on_t = graph.depends_on("x"), graph.depends_on("t")
    named = {node.name: node.index for node in graph.nodes if node.params}
    assert not on_x[named["embed"]] and on_t[named["embed"]]
    assert on_x[named["conv_in"]] and not on_t[named["conv_in"]]
    assert on_x[graph.output] and on_t[graph.output]


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
