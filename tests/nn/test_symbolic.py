"""The same call with symbolic tensors: equal shapes, and one sentence for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.graph.trace import Tracer, trace
from tests.graph.networks import Net, RandomUNet, Spec, specs


@given(specs())
def test_traced_shapes_are_those_of_the_arrays(spec: Spec) -> None:
    model = RandomUNet(spec)
    graph = trace(model, model.inputs(2))
    inputs = {name: mx.zeros(shape) for name, shape in model.inputs(2).items()}
    params = dict(mlx_parameters(model))
    values = graph.run(inputs, params)
    assert [v.shape for v in values] == [n.shape for n in graph.nodes]
    assert model(**inputs).shape == graph.nodes[graph.output].shape


def mlx_parameters(model: Any) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten

    return tree_flatten(model.parameters())


X = (1, 8, 8, 4)

WRONG: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "channels of a convolution": (lambda m, x: m.wide(x), r"^conv2d: the input has 4 channels, .* wants 5$"),
    "a kernel larger than the padded image": (lambda m, x: m.big(x), r"^conv2d: .*9x9.*8x8"),
    "channels of a linear layer": (lambda m, x: m.linear(x), r"^linear: the input has 4 channels, .* wants 5$"),
    "channels of a norm": (lambda m, x: m.norm(x), r"^group_norm: 4 channels"),
    "groups that do not divide": (lambda m, x: m.norm3(x), r"^group_norm: 4 channels with 3 groups"),
    "an addition of two sizes": (lambda m, x: x + nn.upsample_nearest(x), r"^add: shapes .* do not agree$"),
    "a concatenation of two sizes": (
        lambda m, x: nn.concat([x, nn.upsample_nearest(x)]),
        r"^concat: shapes .* differ in more than channels$",
    ),
    "groups of a convolution": (lambda m, x: m.grouped(x), r"^conv2d: 2 groups for 4 channels and 4 outputs"),
    "a reflection wider than the image": (lambda m, x: m.mirror(x), r"^conv2d: a 8x8 image cannot be reflected"),
    "a border of another kind": (lambda m, x: m.edge(x), r"^conv2d: pad_mode is 'edge'; it is one of zero, reflect$"),
    "a stride of nothing": (lambda m, x: m.still(x), r"^conv2d: the stride is 0: it must be 1 or more$"),
    "a padding that takes away": (lambda m, x: m.cropped(x), r"^conv2d: a padding is -1: it must be 0 or more$"),
    "no groups": (lambda m, x: m.norm0(x), r"^group_norm: the number of groups is 0: "),
    "an epsilon below zero": (lambda m, x: nn.instance_norm(x, -1.0), r"^instance_norm: eps is -1.0: "),
    "no heads": (lambda m, x: nn.attention(x, x, x, 0), r"^attention: the number of heads is 0: "),
    "a transposed convolution's channels": (lambda m, x: m.transposed(x), r"^conv_transpose2d: 4 channels"),
    "channels of running statistics": (lambda m, x: m.batch_norm(x), r"^batch_norm: 4 channels with a running_mean of"),
    "a modulation of too few channels": (lambda m, x: nn.modulate(x, x), r"^modulate: .* it takes 8 channels"),
    "a factor that is no power of two": (lambda m, x: nn.downsample_nearest(x, 3), r"^downsample_nearest: 8x8 by 3"),
    "means of an odd image": (lambda m, x: nn.avg_pool2d(m.odd(x)), r"^avg_pool2d: the image is 7x7"),
    "heads that do not divide": (lambda m, x: nn.attention(x, x, x, 3), r"^attention: .* for 3 heads$"),
    "queries and keys of two widths": (lambda m, x: nn.attention(x, nn.concat([x, x]), x), r"^attention: "),
    "an embedding of odd width": (lambda m, x: nn.timestep_embedding(x, 5), r"^timestep_embedding: 5 channels"),
    "an embedding too narrow": (lambda m, x: nn.timestep_embedding(x, 2), r"^timestep_embedding: 2 channels"),
}


def layers() -> Net:
    return Net(
        X[1:],
        lambda m, x: x,
        wide=nn.Conv2d(5, 4, 3),
        big=nn.Conv2d(4, 4, 9),
        linear=nn.Linear(5, 4),
        norm=nn.GroupNorm(3, 6),
        norm3=nn.GroupNorm(3, 4),
        grouped=nn.Conv2d(4, 4, 3, groups=2),
        mirror=nn.Conv2d(4, 4, 3, padding=8, pad_mode="reflect"),
        edge=nn.Conv2d(4, 4, 3, padding=1, pad_mode="edge"),  # type: ignore[arg-type]
        still=nn.Conv2d(4, 4, 3, stride=0),
        cropped=nn.Conv2d(4, 4, 3, padding=-1),
        norm0=nn.GroupNorm(0, 4),
        transposed=nn.ConvTranspose2d(5, 4),
        batch_norm=nn.BatchNorm(5),
        odd=nn.Conv2d(4, 4, 2),
    )


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_are_refused(name: str) -> None:
    call, sentence = WRONG[name]
    model = layers()
    with pytest.raises(SigeError, match=sentence):
        call(model, Tracer(model).input("x", X))


@pytest.mark.parametrize("name", [name for name in WRONG if "addition" not in name])  # `+` of two arrays is MLX's own
def test_arrays_are_refused_alike(name: str) -> None:
    call, sentence = WRONG[name]
    with pytest.raises(SigeError, match=sentence):
        call(layers(), mx.zeros(X))


def test_other_things_are_refused_by_name() -> None:
    with pytest.raises(SigeError, match=r"^SiLU takes an mx.array or a symbolic tensor, not ndarray$"):
        nn.silu(np.zeros(X))


def test_arrays_do_not_mix_with_symbols() -> None:
    model = layers()
    x = Tracer(model).input("x", X)
    for call in (lambda: x + mx.zeros(X), lambda: nn.concat([mx.zeros(X), x])):
        with pytest.raises(SigeError, match=r"mixes a symbolic tensor with an array that is not traced$"):
            call()


def test_a_weight_that_is_no_parameter_is_refused() -> None:
    model = layers()
    x = Tracer(model).input("x", X)
    with pytest.raises(SigeError, match=r"^Linear: its weight is no parameter of the model"):
        nn.linear(x, mx.zeros((3, 4)))
