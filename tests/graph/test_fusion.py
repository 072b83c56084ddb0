"""Fusion: what becomes part of a convolution, and what it must refuse rather than compute wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.graph.fusion import (
    Fused,
    FusedConv,
    FusedEmbedding,
    FusedNorm,
    Modulation,
    Read,
    fuse,
)
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.trace import trace
from sige_mlx.nn import Tensor
from sige_mlx.nn.ops import LeakyReLU, ReLU, SiLU, Tanh
from tests.engine.compare import image
from tests.engine.rounding import assert_agree, exact
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec


def net(forward: Callable[[Any, Tensor], Tensor]) -> Net:
    """Three 3x3 convolutions a, b, c, a 1x1 one s, a strided one d, a transposed one t, norms n and k, all 8 wide, on
    16x16 pixels; g makes 16 channels, w takes them, w3 makes 24, z is depthwise; v and v2 make vectors of 8 and 16 of
    4x4 pixels."""
    layers = {name: conv(8, 8) for name in "abc"}
    layers |= {"s": conv(8, 8, 1), "d": conv(8, 8, 3, 2), "t": nn.ConvTranspose2d(8, 8)}
    layers |= {"n": nn.GroupNorm(2, 8), "k": nn.BatchNorm(8), "g": conv(8, 16), "w": conv(16, 8), "w3": conv(8, 24)}
    layers |= {"z": nn.Conv2d(16, 16, 3, padding=1, groups=16), "v": nn.Conv2d(8, 8, 4), "v2": nn.Conv2d(8, 16, 4)}
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
    assert last.terms[0].reads == (Read(first.value, norm=norm.value, act=SiLU()),)


def test_concatenation_and_upsampling_are_part_of_the_read() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return wide(nn.silu(norm(nn.concat([m.a(x), m.c(nn.upsample_nearest(m.d(x)))]))))

    wide, norm = conv(16, 8), nn.GroupNorm(4, 16)
    model = Net((16, 16, 8), forward, a=conv(8, 8), c=conv(8, 8), d=conv(8, 8, 3, 2), wide=wide, norm=norm)
    ops = fuse(trace(model, model.inputs())).ops
    *_, last = ops
    assert isinstance(last, FusedConv)
    assert [(r.first, r.act) for r in last.terms[0].reads] == [(0, SiLU()), (8, SiLU())]
    upsampled = [op for op in ops if isinstance(op, FusedConv) and op.terms[0].reads[0].resample == 1]
    assert len(upsampled) == 1


def test_residual_is_read_by_the_convolution_that_is_added_to_it() -> None:
    last = only_conv(lambda m, x: m.a(x) + x)
    assert last.residual == Read(0) and len(last.terms) == 1


def test_upsampled_residual_is_read_so() -> None:
    last = only_conv(lambda m, x: m.a(x) + nn.upsample_nearest(m.d(x)))
    assert last.residual is not None and last.residual.resample == 1


def test_of_two_values_that_are_not_stored_the_earlier_is_once() -> None:
    graph, ops = fused(lambda m, x: (lambda h: m.b((nn.silu(m.a(x)) + h) + h))(nn.relu(m.c(x))))
    earlier = next(n.index for n in graph.nodes if isinstance(n.op, ReLU))
    copies = [op for op in ops if isinstance(op, FusedConv) and op.by_channel]
    (stored,) = [op for op in copies if op.residual is None]
    assert stored.value == earlier and stored.terms[0].reads[0].act == ReLU()
    assert [op.residual for op in copies if op.residual] == [Read(earlier)] * 2


def test_shortcut_becomes_a_term() -> None:
    last = only_conv(lambda m, x: m.a(x) + m.s(x))
    assert {term.weight for term in last.terms} == {"a.weight", "s.weight"}
    assert len(last.biases) == 2 and last.residual is None


def test_a_shortcut_that_reads_too_much_is_a_residual() -> None:
    """A convolution reads four values at most."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h, k = m.a(x), m.c(x)
        return m.b(m.w(nn.concat([h, k])) + m.q(nn.concat([h, k, x])))

    model = net(forward)
    model.q = conv(24, 8, 1)
    ops = fuse(trace(model, model.inputs())).ops
    convs = [op for op in ops if isinstance(op, FusedConv)]
    assert [len(op.reads) for op in convs] == [1, 1, 2, 4, 1] and convs[3].residual == Read(convs[2].value)
    mask = np.zeros((16, 16), np.bool_)
    mask[3:6, 9] = True
    assert_agree(model, mask, tiles_from=8)


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
    assert isinstance(copy, FusedConv) and copy.by_channel
    assert copy.terms[0].weight is None and copy.terms[0].weight_shape == (8, 1, 1, 1)
    (read,) = copy.terms[0].reads
    assert read.norm is not None and read.act == ReLU() and copy.residual == Read(ops[0].value)


def test_pooling_and_depthwise_convolutions_store_their_results() -> None:
    _, ops = fused(lambda m, x: m.w(m.z(m.g(nn.avg_pool2d(nn.silu(m.n(m.a(x))))))))
    convs = [op for op in ops if isinstance(op, FusedConv)]
    assert [op.by_channel for op in convs] == [False, True, False, True, False] and len(ops) == 6
    pool, depthwise = convs[1].terms[0], convs[3].terms[0]
    assert (pool.weight, pool.stride, pool.reads[0].act) == (None, 2, SiLU())
    assert (depthwise.weight, convs[3].biases) == ("z.weight", ("z.bias",))


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
    assert isinstance(last, FusedConv) and last.terms[0].reads[0].norm == norm.value


def test_a_modulation_is_part_of_the_read_and_comes_before_the_value() -> None:
    """Though the network computes it later: then the convolution can write its result modulated."""
    _, ops = fused(lambda m, x: m.b(nn.leaky_relu(nn.modulate(m.k(m.a(x)), m.g(x)))))
    modulation, value, last = ops
    assert isinstance(last, FusedConv) and [op.value < last.value for op in ops] == [True, True, False]
    assert modulation.value > value.value
    (read,) = last.terms[0].reads
    assert read.mod == Modulation(modulation.value, 0, modulation.value, 8) and read.act == LeakyReLU()


def test_a_modulation_by_two_values() -> None:
    _, ops = fused(lambda m, x: m.b(nn.modulate(m.a(x), nn.concat([m.c(x), m.s(x)]))))
    last = ops[-1]
    assert isinstance(last, FusedConv) and (mod := last.terms[0].reads[0].mod)
    assert (mod.gamma_first, mod.beta_first) == (0, 0) and mod.gamma != mod.beta


def test_a_value_modulated_by_what_is_made_of_it_stays_before() -> None:
    _, ops = fused(lambda m, x: (lambda h: m.b(nn.modulate(h, m.g(h))))(m.a(x)))
    assert [op.value for op in ops] == sorted(op.value for op in ops)


def test_transposed_convolutions_and_reflection_are_geometry_of_the_source() -> None:
    last = only_conv(lambda m, x: m.t(nn.relu(m.n(m.d(x)))))
    assert last.terms[0].transposed and last.shape == (1, 16, 16, 8)
    reflected = nn.Conv2d(3, 3, 7, padding=3, pad_mode="reflect")
    model = Net((16, 16, 3), lambda m, x: m.r(x), r=reflected)
    (op,) = fuse(trace(model, model.inputs())).ops
    assert isinstance(op, FusedConv) and (op.terms[0].pad_mode, op.terms[0].padding[0]) == ("reflect", (3, 3))


def test_the_output_is_activated_by_the_convolution_that_writes_it() -> None:
    assert only_conv(lambda m, x: nn.tanh(m.a(x))).act == Tanh()
    assert only_conv(lambda m, x: nn.tanh(m.a(x) + x)).act == Tanh()


def test_an_output_that_no_convolution_writes_is_a_copy() -> None:
    for forward in (
        lambda m, x: nn.silu(m.n(m.a(x))),
        lambda m, x: m.n(m.a(x)),
        lambda m, x: nn.upsample_nearest(m.d(x)),
        lambda m, x: (lambda h: (nn.tanh(h), m.b(h))[0])(m.a(x)),
    ):
        graph, ops = fused(forward)
        last = ops[-1]
        assert isinstance(last, FusedConv) and last.by_channel and last.value == graph.output


def test_label_maps_are_read_where_they_are() -> None:
    last = only_conv(lambda m, x: m.a(nn.downsample_nearest(nn.downsample_nearest(x, 2), 4)))
    assert last.terms[0].reads == (Read(0, resample=-3),)


def test_a_value_with_two_readers_is_not_absorbed() -> None:
    _, ops = fused(lambda m, x: (lambda h: m.b(h) + h)(m.a(x)))
    assert [len(op.terms) for op in ops if isinstance(op, FusedConv)] == [1, 1]


def test_what_the_output_does_not_need_is_not_computed() -> None:
    _, ops = fused(lambda m, x: (m.a(x), m.b(x), nn.silu(x))[1])
    assert len(ops) == 1


def test_a_branch_that_is_not_needed_changes_nothing() -> None:
    model = net(lambda m, x: (lambda h: (m.c(m.n(h)), m.b(h))[1])(m.a(x)))
    reference = Engine(model, "reference")
    exact(reference, image(reference))[0].assert_near(Engine(model)(**image(reference)))
