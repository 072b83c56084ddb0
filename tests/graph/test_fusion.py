"""Fusion: what becomes part of a convolution, and what it must refuse rather than compute wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.fusion import Fused, FusedConv, FusedNorm, FusedTimestep, Read, fuse
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.trace import trace
from sige_mlx.nn import Tensor
from tests.engine.compare import image, nmse
from tests.graph.networks import Net, RandomUNet, Spec, conv

LAYERS = {"a": (8, 8), "b": (8, 8), "c": (8, 8)}


def net(forward: Callable[[Any, Tensor], Tensor]) -> Net:
    """Three 3x3 convolutions a, b, c, a 1x1 one s, a strided one d, and a norm n, all 8 wide, on 16x16 pixels."""
    layers = {name: conv(8, 8) for name in "abc"}
    return Net((16, 16, 8), forward, **layers, s=conv(8, 8, 1), d=conv(8, 8, 3, 2), n=nn.GroupNorm(2, 8))


def fused(forward: Callable[[Any, Tensor], Tensor]) -> tuple[Graph, list[Fused]]:
    model = net(forward)
    graph = trace(model, model.inputs())
    return graph, fuse(graph)


def only_conv(forward: Callable[[Any, Tensor], Tensor]) -> FusedConv:
    """The last fused convolution, which must be the output."""
    graph, ops = fused(forward)
    last = ops[-1]
    assert isinstance(last, FusedConv) and last.value == graph.output
    return last


# ---- what fuses


def test_norm_and_activation_are_part_of_the_read() -> None:
    _, ops = fused(lambda m, x: m.b(nn.silu(m.n(m.a(x)))))
    assert [type(op) for op in ops] == [FusedConv, FusedNorm, FusedConv]
    first, norm, last = ops
    assert last.sources[0].view.parts == (Read(first.value, norm.value, 0, "silu"),)


def test_concatenation_and_upsampling_are_part_of_the_read() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return wide(nn.silu(norm(nn.concat([m.a(x), m.c(nn.upsample_nearest(m.d(x)))]))))

    wide, norm = conv(16, 8), nn.GroupNorm(4, 16)
    model = Net((16, 16, 8), forward, a=conv(8, 8), c=conv(8, 8), d=conv(8, 8, 3, 2), wide=wide, norm=norm)
    ops = fuse(trace(model, model.inputs()))
    *_, last = ops
    assert [(p.first, p.act) for p in last.sources[0].view.parts] == [(0, "silu"), (8, "silu")]
    upsampled = [op for op in ops if isinstance(op, FusedConv) and op.sources[0].view.upsample]
    assert len(upsampled) == 1


def test_residual_is_read_by_the_convolution_that_is_added_to_it() -> None:
    last = only_conv(lambda m, x: m.a(x) + x)
    assert last.residual == 0 and len(last.sources) == 1


def test_shortcut_becomes_a_source() -> None:
    last = only_conv(lambda m, x: m.a(x) + m.s(x))
    assert [s.weight for s in last.sources] == ["a.weight", "s.weight"] or [s.weight for s in last.sources] == [
        "s.weight",
        "a.weight",
    ]
    assert len(last.biases) == 2 and last.residual is None


def test_time_embedding_becomes_a_vector() -> None:
    model = RandomUNet(Spec(8, 8, 3, (("block", 8),), norm_out=False, time=True))
    ops = fuse(trace(model, model.inputs()))
    with_vector = [op for op in ops if isinstance(op, FusedConv) and op.vec is not None]
    assert len(with_vector) == 1
    assert sum(isinstance(op, FusedTimestep) for op in ops) == 1


def test_a_value_with_two_readers_is_not_absorbed() -> None:
    _, ops = fused(lambda m, x: (lambda h: m.b(h) + h)(m.a(x)))
    assert [len(op.sources) for op in ops if isinstance(op, FusedConv)] == [1, 1]


def test_what_the_output_does_not_need_is_not_computed() -> None:
    _, ops = fused(lambda m, x: (m.a(x), m.b(x), nn.silu(x))[1])
    assert len(ops) == 1


def test_a_branch_that_is_not_needed_changes_nothing() -> None:
    model = net(lambda m, x: (lambda h: (m.c(m.n(h)), m.b(h))[1])(m.a(x)))
    native, reference = Engine(model), Engine(model, "reference")
    assert nmse(native.record(**image(native)), reference.record(**image(reference))) < 1e-12


# ---- what it refuses

REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "a value added to itself": (lambda m, x: (lambda h: m.b(h + h))(m.a(x)), "Add"),
    "an addition of two stored values": (lambda m, x: (lambda h: m.b(h + x) + m.c(h))(m.a(x)), "Add"),
    "a norm of the input": (lambda m, x: m.b(m.n(x)), "n"),
    "a norm of an attention": (lambda m, x: (lambda h: m.b(m.n(nn.attention(h, h, h))))(m.d(x)), "n"),
    "a norm of an upsampled value": (lambda m, x: m.b(m.n(nn.upsample_nearest(m.d(x)))), "n"),
    "a norm of a norm": (lambda m, x: m.b(m.n(m.n(m.a(x)))), "n"),
    "a norm of an activation": (lambda m, x: m.b(m.n(nn.silu(m.a(x)))), "n"),
    "two activations in a row": (lambda m, x: m.b(nn.silu(nn.silu(m.a(x)))), "SiLU"),
    "two upsamplings in a row": (
        lambda m, x: m.b(nn.upsample_nearest(nn.upsample_nearest(m.d(m.d(x))))),
        "UpsampleNearest",
    ),
    "an upsampled part of a concatenation": (
        lambda m, x: m.b(nn.concat([nn.upsample_nearest(m.d(x))])),
        "Concat",
    ),
    "attention to activations": (lambda m, x: (lambda h: m.b(nn.attention(h, h, h)))(nn.silu(m.d(x))), "Attention"),
    "a residual that is activated": (lambda m, x: m.b(x) + nn.silu(x), "Add"),
    "an output that is an activation": (lambda m, x: nn.silu(m.a(x)), "SiLU"),
    "an output that is a norm": (lambda m, x: m.n(m.a(x)), "n"),
    "an output that is an attention": (lambda m, x: (lambda h: nn.attention(h, h, h))(m.d(x)), "Attention"),
    "an output that is the input": (lambda m, x: x, "Input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_forms_are_refused_in_one_sentence(name: str) -> None:
    forward, layer = REFUSED[name]
    with pytest.raises(SigeError, match=rf"^{layer} \(node \d+\) .*: only device='reference' runs such a network$"):
        fused(forward)


@pytest.mark.parametrize("name", REFUSED)
def test_the_reference_executor_runs_what_fusion_refuses(name: str) -> None:
    model = net(REFUSED[name][0])
    engine = Engine(model, "reference")
    inputs = image(engine)
    assert mx.array_equal(engine(**inputs), model(mx.array(inputs["x"])))


def test_too_many_values_at_once_are_refused() -> None:
    model = Net(
        (16, 16, 3), lambda m, x: m.b(nn.concat([m.a(x), m.a(x), m.a(x), m.a(x), m.a(x)])), a=conv(3, 2), b=conv(10, 2)
    )
    with pytest.raises(SigeError, match=r"^b reads 5 values at once; 4 is the most$"):
        Engine(model)
