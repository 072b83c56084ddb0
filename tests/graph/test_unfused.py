"""Operations that have no fused form: one sentence says so, and the network is traced, costed, run and edited by the
reference executor all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.engine.native.library import header
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from sige_mlx.graph.cost import dense_cost, edit_cost
from sige_mlx.graph.draw import graphviz, mermaid
from sige_mlx.graph.lowered import Lowered
from sige_mlx.nn import Tensor
from sige_mlx.nn.functional import apply
from sige_mlx.nn.ops import Activation, Concat, Conv2d, Op, Params, SampleNorm, Shape
from tests.engine.compare import edited, image, nmse
from tests.graph.blocks import conv
from tests.graph.networks import Mask, Net
from tests.graph.test_fusion import net
from tests.policies import policy


def one_tile() -> Mask:
    mask = np.zeros((16, 16), np.bool_)
    mask[5:8, 5:8] = True
    return mask


def in_five_forms(m: Any, h: Tensor) -> Tensor:
    return m.a(h) + m.b(nn.silu(h)) + m.c(nn.relu(h)) + m.s(nn.tanh(h)) + m.z1(nn.leaky_relu(h))


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "an addition of a concatenation": (lambda m, x: m.b(m.w(nn.concat([m.a(x), x]) + nn.concat([x, x]))), "Add"),
    "a vector added to what is no convolution": (lambda m, x: m.b(x + m.v(m.d(m.d(x)))), "Add"),
    "a norm of the input": (lambda m, x: m.b(m.n(x)), "n"),
    "a norm of an attention": (lambda m, x: (lambda h: m.b(m.n(nn.attention(h, h, h))))(m.d(x)), "n"),
    "a norm of every other pixel": (lambda m, x: m.d(m.n(nn.downsample_nearest(m.a(x), 2))), "n"),
    "a norm of a norm": (lambda m, x: m.b(m.n(m.n(m.a(x)))), "n"),
    "a norm of an activation": (lambda m, x: m.b(m.n(nn.silu(m.a(x)))), "n"),
    "a batch norm of a norm": (lambda m, x: m.b(m.k(m.n(m.a(x)))), "k"),
    "a batch norm of an activation": (lambda m, x: m.b(m.k(nn.relu(m.a(x)))), "k"),
    "two activations in a row": (lambda m, x: m.b(nn.silu(nn.silu(m.a(x)))), "SiLU"),
    "two upsamplings in a row": (
        lambda m, x: m.b(nn.upsample_nearest(nn.upsample_nearest(m.d(m.d(x))))),
        "UpsampleNearest",
    ),
    "an upsampled value downsampled": (
        lambda m, x: m.d(nn.downsample_nearest(nn.upsample_nearest(m.a(x)), 4)),
        "DownsampleNearest",
    ),
    "a modulated value upsampled": (
        lambda m, x: m.b(nn.upsample_nearest(nn.modulate(m.d(x), m.g(nn.downsample_nearest(x, 2))))),
        "UpsampleNearest",
    ),
    "a modulated value modulated": (lambda m, x: m.b(nn.modulate(nn.modulate(m.a(x), m.g(x)), m.g(x))), "Modulate"),
    "an activated value modulated": (lambda m, x: m.b(nn.modulate(nn.relu(m.a(x)), m.g(x))), "Modulate"),
    "a modulation that is not stored": (lambda m, x: m.b(nn.modulate(m.a(x), nn.relu(m.g(x)))), "Modulate"),
    "a modulation in pieces": (
        lambda m, x: m.w(nn.modulate(m.g(x), nn.concat([m.w3(x), m.a(x)]))),
        "Modulate",
    ),
    "a vector that modulates what is not normalised": (
        lambda m, x: m.b(nn.modulate(m.a(x), m.v2(m.d(m.d(x))))),
        "Modulate",
    ),
    "a vector of the image that modulates": (lambda m, x: m.b(nn.modulate(m.n(m.a(x)), m.v2(m.d(m.d(x))))), "Modulate"),
    "a transposed convolution of an upsampled value": (lambda m, x: m.t(nn.upsample_nearest(m.d(x))), "t"),
    "a pooled concatenation": (lambda m, x: m.w(nn.avg_pool2d(nn.concat([m.a(x), x]))), "AvgPool2d"),
    "a depthwise concatenation": (lambda m, x: m.w(m.z(nn.concat([m.a(x), x]))), "z"),
    "attention to activations": (lambda m, x: (lambda h: m.b(nn.attention(h, h, h)))(nn.silu(m.d(x))), "Attention"),
    "an output that is a concatenation": (lambda m, x: nn.concat([m.a(x), m.b(x)]), "Concat"),
    "an output that is an attention": (lambda m, x: (lambda h: nn.attention(h, h, h))(m.d(x)), "Attention"),
    "an output that is the input": (lambda m, x: x, "Input"),
    # more than an op takes
    "a kernel too large": (lambda m, x: m.kernel(m.a(x)), "kernel"),
    "a stride too large": (lambda m, x: m.a(m.stride(x)), "stride"),
    "a padding wider than its kernel": (lambda m, x: m.a(m.padded(x)), "padded"),
    "too many heads": (lambda m, x: (lambda h: m.narrow(nn.attention(h, h, h, 1025)))(m.wide(x)), "Attention"),
    "a concatenation of five": (lambda m, x: m.five(nn.concat([m.a(x), m.b(x), m.c(x), m.d(m.up(x)), x])), "five"),
    "a norm of a concatenation of five": (
        lambda m, x: m.five(m.n5(nn.concat([m.a(x), m.b(x), m.c(x), m.s(x), m.z1(x)]))),
        "n5",
    ),
    "a value read in five forms": (lambda m, x: in_five_forms(m, m.g8(x)), "g8"),
    "a norm read in five forms": (lambda m, x: in_five_forms(m, m.n(m.g8(x))), "g8"),
}

MORE = {
    "kernel": nn.Conv2d(8, 8, 9, padding=4),
    "stride": nn.Conv2d(8, 8, 7, stride=9),
    "padded": nn.Conv2d(8, 8, 1, padding=2),
    "wide": nn.Conv2d(8, 1025, 1),
    "narrow": nn.Conv2d(1025, 8, 1),
    "five": nn.Conv2d(40, 8, 1),
    "n5": nn.GroupNorm(5, 40),
    "z1": nn.Conv2d(8, 8, 1),
    "g8": conv(8, 8),
    "up": nn.ConvTranspose2d(8, 8),
}


def refused(name: str) -> Net:
    """A network that has one of them in it."""
    model = net(REFUSED[name][0])
    for layer, module in MORE.items():
        setattr(model, layer, module)
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_forms_are_refused_in_one_sentence(name: str) -> None:
    layer = REFUSED[name][1]
    with pytest.raises(SigeError, match=rf"^{layer} \(node \d+\) .*: only device='reference' runs such a network$"):
        engine = Engine(refused(name), policy=policy(8, "tiles"))
        engine.record(**image(engine))  # not before


@pytest.mark.parametrize("name", REFUSED)
def test_the_reference_executor_runs_and_edits_what_fusion_refuses(name: str) -> None:
    """Its tiles are right where they see all of the edit, and everything else is recorded."""
    model = refused(name)
    engine = Engine(model, "reference", policy(8, "tiles"))
    inputs = image(engine)
    dense = engine.record(**inputs)
    assert mx.array_equal(dense, model(mx.array(inputs["x"])))
    everything, nothing = np.ones((16, 16), np.bool_), np.zeros((16, 16), np.bool_)
    assert nmse(engine.edit(engine.prepare(everything), **inputs), dense) < 1e-10
    assert mx.array_equal(engine.edit(engine.prepare(nothing), **inputs), dense)


@pytest.mark.parametrize("name", REFUSED)
def test_what_fusion_refuses_is_costed_and_drawn(name: str) -> None:
    lowered = Lowered.of(refused(name), policy(8, "tiles"))
    tiling = lowered.tiling(one_tile())
    dense, edit = dense_cost(lowered), edit_cost(lowered, tiling)
    assert (dense.macs, edit.macs) == (lowered.dense_macs, lowered.macs(tiling))
    assert 0 < edit.nbytes <= dense.nbytes and dense.recorded_nbytes > 0
    assert mermaid(lowered.graph) and graphviz(lowered.graph, collapse=True) and str(lowered.graph)


class Cube(Op):
    """An operation that nobody has fused: `CONTRIBUTING.md` says that it runs, traces and is costed."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] ** 3


class Sine(Activation):
    """An activation that no kernel has."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.sin(inputs[0])


@dataclass(frozen=True)
class Doubled(Conv2d):
    """Something else than the convolution that it is derived from."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return 2 * super().__call__(inputs, params)


@dataclass(frozen=True)
class Turned(Concat):
    """A view that nobody knows."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0][..., ::-1]


@dataclass(frozen=True)
class RootMeanSquare(SampleNorm):
    """A norm that takes statistics of its own kind."""

    function = "rms_norm"

    def affine(self, x: mx.array, params: Params) -> tuple[mx.array, mx.array]:
        scale = mx.rsqrt((x**2).mean((1, 2, 3), keepdims=True) + self.eps)
        return mx.broadcast_to(scale, (len(x), 1, 1, x.shape[-1])), mx.zeros((1, 1, 1, x.shape[-1]))


class Pooled(Op):
    """A vector per image that is no image of one pixel."""

    def shape(self, inputs: Sequence[Shape], params: Mapping[str, Shape]) -> Shape:
        return (inputs[0][0], inputs[0][-1])

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0].mean((1, 2))


class Gated(Op):
    """Two inputs, one of them such a vector."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] * inputs[1][:, None, None, :]


UNKNOWN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "Cube": lambda m, h: apply(Cube(), [h]),
    "Sine": lambda m, h: apply(Sine(), [h]),
    "s": lambda m, h: apply(Doubled(), [h], weight=m.s.weight, bias=m.s.bias),
    "Turned": lambda m, h: apply(Turned(), [h]),
    "RootMeanSquare": lambda m, h: apply(RootMeanSquare(1e-5), [h]),
    "Pooled": lambda m, h: apply(Gated(), [h, nn.linear(apply(Pooled(), [h]), m.l.weight)]),
}


def unknown(name: str, last: bool) -> Net:
    def forward(m: Any, x: Tensor) -> Tensor:
        h = UNKNOWN[name](m, m.a(x))
        return h if last else m.b(h)

    model = net(forward)
    model.l = nn.Linear(8, 8)
    return model


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("last", [True, False])
def test_an_operation_that_nobody_fused(name: str, last: bool) -> None:
    """One that is derived from another counts as such: it may compute anything."""
    model = unknown(name, last)
    with pytest.raises(SigeError, match=rf"^{name} \(node \d+\) .*: only device='reference' runs such a network$"):
        Engine(model)
    engine = Engine(model, "reference", policy(8, "tiles"))
    inputs, mask = image(engine), one_tile()
    assert mx.array_equal(engine.record(**inputs), model(mx.array(inputs["x"])))
    prepared = engine.prepare(mask)
    found = np.asarray(engine.edit(prepared, **edited(inputs, mask)))
    assert (found != np.asarray(engine(**inputs))).any() and 0 < prepared.macs < engine.macs
    dense, edit = dense_cost(engine.lowered), edit_cost(engine.lowered, prepared.tiling)
    assert (dense.macs, edit.macs) == (engine.macs, prepared.macs)
    assert dense.nbytes > 0 and dense.recorded_nbytes == engine.recordings.step_nbytes()
    assert mermaid(engine.lowered.graph) and graphviz(engine.lowered.graph, collapse=True)
    assert name in str(engine.lowered.graph)


def test_limits_are_those_of_the_c_library() -> None:
    constants = header().constants
    for name in ("MAX_SOURCES", "MAX_OUTPUTS", "MAX_KERNEL", "MAX_STRIDE", "MAX_HEADS"):
        assert getattr(p, name) == constants[f"SIGE_{name}"]
