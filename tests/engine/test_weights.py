"""Parameters in plain arrays, the same for every executor: of convolutions in parts, transposed, and by channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.engine import weights
from sige_mlx.graph.fusion import FusedConv
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Kind
from sige_mlx.nn import Tensor
from sige_mlx.nn.module import parameters
from tests.graph.networks import Net
from tests.policies import policy


def fused(model: Net, weight: str) -> Any:
    """The fused operation that a weight is of."""
    ops = Lowered.of(model, policy(8)).groups.ops
    return next(op for op in ops if weight in str(op))


def loader(model: Net) -> weights.Loader:
    """In half precision, as files may have it."""
    return lambda name: np.asarray(parameters(model)[name]).astype(np.float16)


def attended(m: Any, h: Tensor) -> Tensor:
    return m.b(nn.attention(m.q(h), m.k(h), m.v(h)))


def test_parts_of_a_convolution_follow_one_another() -> None:
    layers = {name: nn.Conv2d(4, 6, 1) for name in "qkv"} | {"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(6, 4, 1)}
    model = Net((8, 8, 4), lambda m, x: attended(m, m.a(x)), **layers)
    load, conv = loader(model), fused(model, "v.weight")
    assert isinstance(conv, FusedConv) and len(conv.parts) > 1
    (kernel,) = weights.kernels(conv, load)
    names = conv.weights(0)
    assert kernel.dtype == np.float32 and kernel.shape == (6 * len(names), 1, 1, 4)
    np.testing.assert_array_equal(kernel, np.concatenate([load(name).astype(np.float32) for name in names]))
    (buffer,) = [b for b in Lowered.of(model, policy(8)).dense.buffers if b.kind is Kind.BIAS and "v.bias" in str(b)]
    np.testing.assert_array_equal(
        weights.bias(buffer, load), np.concatenate([load(n.replace("weight", "bias")) for n in names])
    )


def test_a_transposed_kernel_is_read_backwards() -> None:
    model = Net((8, 8, 4), lambda m, x: m.up(x), up=nn.ConvTranspose2d(4, 5))
    load = loader(model)
    (kernel,) = weights.kernels(fused(model, "up.weight"), load)
    assert kernel.flags.c_contiguous and kernel.shape == (5, 3, 3, 4)
    np.testing.assert_array_equal(kernel[:, 0, 2], load("up.weight")[:, 2, 0].astype(np.float32))


def test_a_linear_layer_is_a_convolution_of_one_pixel() -> None:
    layers = {"a": nn.Conv2d(4, 5, 1), "l": nn.Linear(6, 5)}
    model = Net((8, 8, 4), lambda m, x, t: m.a(x) + m.l(nn.timestep_embedding(t, 6)), time=True, **layers)
    (kernel,) = weights.kernels(fused(model, "l.weight"), loader(model))
    assert kernel.shape == (5, 1, 1, 6)


def test_kernels_by_channel_are_one_row_for_each_tap() -> None:
    model = Net((8, 8, 4), lambda m, x: m.d(x), d=nn.Conv2d(4, 4, 3, padding=1, groups=4))
    load, op = loader(model), fused(model, "d.weight")
    assert op.by_channel
    kernel = weights.kernel_by_channel(op, load)
    assert kernel.flags.c_contiguous and kernel.shape == (9, 4)
    np.testing.assert_array_equal(kernel[5], load("d.weight")[:, 1, 2, 0].astype(np.float32))


@pytest.mark.parametrize("biases", [1, 2])
def test_biases_of_several_sources_add_up(biases: int) -> None:
    model = Net((8, 8, 4), lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(4, 5, 1), b=nn.Conv2d(4, 5, 1, bias=biases == 2))
    (buffer,) = [b for b in Lowered.of(model, policy(8)).dense.buffers if b.kind is Kind.BIAS]
    expected = sum(loader(model)(f"{name}.bias").astype(np.float32) for name in "ab"[:biases])
    np.testing.assert_array_equal(weights.bias(buffer, loader(model)), expected)
