"""Fusion: what becomes part of a convolution, and what it must refuse rather than compute wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.cost import dense_cost, edit_cost
from sige_mlx.graph.fusion import (
    Fused,
    FusedConv,
    FusedDepthwise,
    FusedEmbedding,
    FusedNorm,
    Modulation,
    Read,
    fuse,
)
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.trace import trace
from sige_mlx.nn import Tensor
from sige_mlx.nn.functional import apply
from sige_mlx.nn.ops import Activation, Op, Params, ReLU
from tests.engine.compare import edited, image, nmse
from tests.engine.rounding import exact
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec
from tests.policies import policy

LAYERS = {"a": (8, 8), "b": (8, 8), "c": (8, 8)}


def net(forward: Callable[[Any, Tensor], Tensor]) -> Net:
    """Three 3x3 convolutions a, b, c, a 1x1 one s, a strided one d, a transposed one t, norms n and k, all 8 wide, on
    16x16 pixels; g makes 16 channels, w takes them, w3 makes 24, z is depthwise; v and v2 make vectors of 8 and 16."""
    layers = {name: conv(8, 8) for name in "abc"}
    layers |= {"s": conv(8, 8, 1), "d": conv(8, 8, 3, 2), "t": nn.ConvTranspose2d(8, 8)}
    layers |= {"n": nn.GroupNorm(2, 8), "k": nn.BatchNorm(8), "g": conv(8, 16), "w": conv(16, 8), "w3": conv(8, 24)}
    layers |= {"z": nn.Conv2d(16, 16, 3, padding=1, groups=16), "v": nn.Conv2d(8, 8, 16), "v2": nn.Conv2d(8, 16, 16)}
    return Net((16, 16, 8), forward, **layers)


def fused(forward: Callable[[Any, Tensor], Tensor]) -> tuple[Graph, tuple[Fused, ...]]:
    model = net(forward)
    graph = trace(model, model.inputs())
    return graph, fuse(graph).ops


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
    assert last.sources[0].reads == (Read(first.value, norm=norm.value, act="silu"),)


def test_concatenation_and_upsampling_are_part_of_the_read() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return wide(nn.silu(norm(nn.concat([m.a(x), m.c(nn.upsample_nearest(m.d(x)))]))))

    wide, norm = conv(16, 8), nn.GroupNorm(4, 16)
    model = Net((16, 16, 8), forward, a=conv(8, 8), c=conv(8, 8), d=conv(8, 8, 3, 2), wide=wide, norm=norm)
    ops = fuse(trace(model, model.inputs())).ops
    *_, last = ops
    assert isinstance(last, FusedConv)
    assert [(r.first, r.act) for r in last.sources[0].reads] == [(0, "silu"), (8, "silu")]
    upsampled = [op for op in ops if isinstance(op, FusedConv) and op.sources[0].reads[0].resample == 1]
    assert len(upsampled) == 1


def test_residual_is_read_by_the_convolution_that_is_added_to_it() -> None:
    last = only_conv(lambda m, x: m.a(x) + x)
    assert last.residual == Read(0) and len(last.sources) == 1


def test_upsampled_residual_is_read_so() -> None:
    last = only_conv(lambda m, x: m.a(x) + nn.upsample_nearest(m.d(x)))
    assert last.residual is not None and last.residual.resample == 1


def test_of_two_values_that_are_not_stored_the_earlier_is_once() -> None:
    graph, ops = fused(lambda m, x: (lambda h: m.b((nn.silu(m.a(x)) + h) + h))(nn.relu(m.c(x))))
    earlier = next(n.index for n in graph.nodes if isinstance(n.op, ReLU))
    (stored,) = [op for op in ops if isinstance(op, FusedDepthwise) and op.residual is None]
    assert stored.value == earlier and stored.source.reads[0].act == "relu"
    assert [op.residual for op in ops if isinstance(op, FusedDepthwise) and op.residual] == [Read(earlier)] * 2


def test_shortcut_becomes_a_source() -> None:
    last = only_conv(lambda m, x: m.a(x) + m.s(x))
    assert [s.weight for s in last.sources] == ["a.weight", "s.weight"] or [s.weight for s in last.sources] == [
        "s.weight",
        "a.weight",
    ]
    assert len(last.biases) == 2 and last.residual is None


def test_time_embedding_becomes_a_vector() -> None:
    model = RandomUNet(Spec(8, 8, 3, (("block", 8),), norm_out=False, time=True))
    ops = fuse(trace(model, model.inputs())).ops
    with_vector = [op for op in ops if isinstance(op, FusedConv) and op.vec is not None]
    assert len(with_vector) == 1
    assert sum(isinstance(op, FusedEmbedding) for op in ops) == 1


def test_what_no_convolution_absorbs_is_a_copy_with_a_residual() -> None:
    """CycleGAN's x + norm(y); an activation of it would be part of the copy's read, too."""
    _, ops = fused(lambda m, x: m.c((lambda h: h + nn.relu(m.n(m.b(h))))(m.a(x))))
    copy = ops[-2]
    assert isinstance(copy, FusedDepthwise) and copy.source.weight is None and copy.source.weight_shape == (8, 1, 1, 1)
    (read,) = copy.source.reads
    assert read.norm is not None and read.act == "relu" and copy.residual == Read(ops[0].value)


def test_pooling_and_depthwise_convolutions_store_their_results() -> None:
    _, ops = fused(lambda m, x: m.w(m.z(m.g(nn.avg_pool2d(nn.silu(m.n(m.a(x))))))))
    assert [type(op) for op in ops] == [FusedConv, FusedNorm, FusedDepthwise, FusedConv, FusedDepthwise, FusedConv]
    pool, depthwise = ops[2], ops[4]
    assert isinstance(pool, FusedDepthwise) and isinstance(depthwise, FusedDepthwise)
    assert (pool.source.weight, pool.source.stride, pool.source.reads[0].act) == (None, 2, "silu")
    assert (depthwise.source.weight, depthwise.bias) == ("z.weight", "z.bias")


def test_film_is_part_of_its_norm() -> None:
    """A norm that only a FiLM reads has no statistics of its own."""
    film = nn.Linear(8, 16)

    def forward(m: Any, x: Tensor, t: Tensor) -> Tensor:
        return m.b(nn.silu(nn.modulate(m.n(m.a(x)), m.film(nn.timestep_embedding(t, 8)))))

    model = Net((16, 16, 8), forward, True, a=conv(8, 8), b=conv(8, 8), n=nn.GroupNorm(2, 8), film=film)
    ops = fuse(trace(model, model.inputs())).ops
    (norm,) = [op for op in ops if isinstance(op, FusedNorm)]
    vector = next(op for op in ops if isinstance(op, FusedConv) and op.layer == "film")
    assert norm.film == vector.value and norm.value != norm.norm
    last = ops[-1]
    assert isinstance(last, FusedConv) and last.sources[0].reads[0].norm == norm.value


def test_a_modulation_is_part_of_the_read_and_comes_before_the_value() -> None:
    """Though the network computes it later: then the convolution can write its result modulated."""
    _, ops = fused(lambda m, x: m.b(nn.leaky_relu(nn.modulate(m.k(m.a(x)), m.g(x)))))
    modulation, value, last = ops
    assert isinstance(last, FusedConv) and [op.value < last.value for op in ops] == [True, True, False]
    assert modulation.value > value.value
    (read,) = last.sources[0].reads
    assert read.mod == Modulation(modulation.value, 0, modulation.value, 8) and read.act == "leaky_relu"


def test_a_modulation_by_two_values() -> None:
    _, ops = fused(lambda m, x: m.b(nn.modulate(m.a(x), nn.concat([m.c(x), m.s(x)]))))
    last = ops[-1]
    assert isinstance(last, FusedConv) and (mod := last.sources[0].reads[0].mod)
    assert (mod.gamma_first, mod.beta_first) == (0, 0) and mod.gamma != mod.beta


def test_a_value_modulated_by_what_is_made_of_it_stays_before() -> None:
    _, ops = fused(lambda m, x: (lambda h: m.b(nn.modulate(h, m.g(h))))(m.a(x)))
    assert [op.value for op in ops] == sorted(op.value for op in ops)


def test_transposed_convolutions_and_reflection_are_geometry_of_the_source() -> None:
    last = only_conv(lambda m, x: m.t(nn.relu(m.n(m.d(x)))))
    assert last.sources[0].transposed and last.shape == (1, 16, 16, 8)
    reflected = nn.Conv2d(3, 3, 7, padding=3, pad_mode="reflect")
    model = Net((16, 16, 3), lambda m, x: m.r(x), r=reflected)
    (op,) = fuse(trace(model, model.inputs())).ops
    assert isinstance(op, FusedConv) and (op.sources[0].pad_mode, op.sources[0].padding[0]) == ("reflect", (3, 3))


def test_the_output_is_activated_by_the_convolution_that_writes_it() -> None:
    assert only_conv(lambda m, x: nn.tanh(m.a(x))).act == "tanh"
    assert only_conv(lambda m, x: nn.tanh(m.a(x) + x)).act == "tanh"


def test_an_output_that_no_convolution_writes_is_a_copy() -> None:
    for forward in (
        lambda m, x: nn.silu(m.n(m.a(x))),
        lambda m, x: m.n(m.a(x)),
        lambda m, x: nn.upsample_nearest(m.d(x)),
        lambda m, x: (lambda h: (nn.tanh(h), m.b(h))[0])(m.a(x)),
    ):
        graph, ops = fused(forward)
        assert isinstance(ops[-1], FusedDepthwise) and ops[-1].value == graph.output


def test_label_maps_are_read_where_they_are() -> None:
    last = only_conv(lambda m, x: m.a(nn.downsample_nearest(nn.downsample_nearest(x, 2), 4)))
    assert last.sources[0].reads == (Read(0, resample=-3),)


def test_a_value_with_two_readers_is_not_absorbed() -> None:
    _, ops = fused(lambda m, x: (lambda h: m.b(h) + h)(m.a(x)))
    assert [len(op.sources) for op in ops if isinstance(op, FusedConv)] == [1, 1]


def test_what_the_output_does_not_need_is_not_computed() -> None:
    _, ops = fused(lambda m, x: (m.a(x), m.b(x), nn.silu(x))[1])
    assert len(ops) == 1


def test_a_branch_that_is_not_needed_changes_nothing() -> None:
    model = net(lambda m, x: (lambda h: (m.c(m.n(h)), m.b(h))[1])(m.a(x)))
    reference = Engine(model, "reference")
    exact(reference, image(reference))[0].assert_near(Engine(model)(**image(reference)))


# ---- what it refuses

REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "an addition of a concatenation": (lambda m, x: m.b(m.w(nn.concat([m.a(x), x]) + nn.concat([x, x]))), "Add"),
    "a vector added to what is no convolution": (lambda m, x: m.b(x + m.v(x)), "Add"),
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
    "a vector that modulates what is not normalised": (lambda m, x: m.b(nn.modulate(m.a(x), m.v2(x))), "Modulate"),
    "a vector of the image that modulates": (lambda m, x: m.b(nn.modulate(m.n(m.a(x)), m.v2(x))), "Modulate"),
    "a transposed convolution of an upsampled value": (lambda m, x: m.t(nn.upsample_nearest(m.d(x))), "t"),
    "a pooled concatenation": (lambda m, x: m.w(nn.avg_pool2d(nn.concat([m.a(x), x]))), "AvgPool2d"),
    "a depthwise concatenation": (lambda m, x: m.w(m.z(nn.concat([m.a(x), x]))), "z"),
    "attention to activations": (lambda m, x: (lambda h: m.b(nn.attention(h, h, h)))(nn.silu(m.d(x))), "Attention"),
    "an output that is a concatenation": (lambda m, x: nn.concat([m.a(x), m.b(x)]), "Concat"),
    "an output that is an attention": (lambda m, x: (lambda h: nn.attention(h, h, h))(m.d(x)), "Attention"),
    "an output that is the input": (lambda m, x: x, "Input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_forms_are_refused_in_one_sentence(name: str) -> None:
    forward, layer = REFUSED[name]
    with pytest.raises(SigeError, match=rf"^{layer} \(node \d+\) .*: only device='reference' runs such a network$"):
        Engine(net(forward))


@pytest.mark.parametrize("name", REFUSED)
def test_the_reference_executor_runs_and_edits_what_fusion_refuses(name: str) -> None:
    """Its tiles are right where they see all of the edit, and everything else is recorded."""
    model = net(REFUSED[name][0])
    engine = Engine(model, "reference", policy(8, "tiles"))
    inputs = image(engine)
    dense = engine.record(**inputs)
    assert mx.array_equal(dense, model(mx.array(inputs["x"])))
    everything, nothing = np.ones((16, 16), np.bool_), np.zeros((16, 16), np.bool_)
    assert nmse(engine.edit(engine.prepare(everything), **inputs), dense) < 1e-10
    assert mx.array_equal(engine.edit(engine.prepare(nothing), **inputs), dense)


class Cube(Op):
    """An operation that nobody has fused: `CONTRIBUTING.md` says that it runs, traces and is costed."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return inputs[0] ** 3


class Sine(Activation):
    """An activation that no kernel has."""

    def __call__(self, inputs: Sequence[mx.array], params: Params) -> mx.array:
        return mx.sin(inputs[0])


@pytest.mark.parametrize("op", [Cube(), Sine()])
@pytest.mark.parametrize("last", [True, False])
def test_an_operation_that_nobody_fused(op: Op, last: bool) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        h = apply(op, [m.a(x)])
        return h if last else m.b(h)

    model = net(forward)
    with pytest.raises(SigeError, match=rf"^{type(op).__name__} \(node \d+\) is an operation without a fused form: "):
        Engine(model)
    engine = Engine(model, "reference", policy(8, "tiles"))
    inputs, mask = image(engine), np.zeros((16, 16), np.bool_)
    mask[5:8, 5:8] = True
    assert mx.array_equal(engine.record(**inputs), model(mx.array(inputs["x"])))
    prepared = engine.prepare(mask)
    found = np.asarray(engine.edit(prepared, **edited(inputs, mask)))
    assert (found != np.asarray(engine(**inputs))).any() and 0 < prepared.macs < engine.macs
    dense, edit = dense_cost(engine.lowered), edit_cost(engine.lowered, prepared.tiling)
    assert (dense.macs, edit.macs) == (engine.macs, prepared.macs)
    assert dense.nbytes > 0 and dense.recorded_nbytes == engine.recordings.step_nbytes
    assert type(op).__name__ in str(engine.lowered.graph)


def test_too_many_values_at_once_are_refused() -> None:
    model = Net(
        (16, 16, 3), lambda m, x: m.b(nn.concat([m.a(x), m.a(x), m.a(x), m.a(x), m.a(x)])), a=conv(3, 2), b=conv(10, 2)
    )
    with pytest.raises(SigeError, match=r"^b reads 5 values at once; 4 is the most$"):
        Engine(model)
