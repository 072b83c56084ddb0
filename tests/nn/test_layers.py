"""Layers against those of `mlx.nn`, which have the same names and parameters."""

from __future__ import annotations

import subprocess
import sys

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn

WIDTHS = st.integers(1, 9)


def draw(*shape: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def same_parameters(ours: mlx.nn.Module, theirs: mlx.nn.Module) -> None:
    """Gives both layers the same weights, under the same names."""
    theirs.load_weights([(k, draw(*v.shape, seed=i)) for i, (k, v) in enumerate(theirs.parameters().items())])
    ours.load_weights(list(theirs.parameters().items()))


@given(WIDTHS, WIDTHS, st.sampled_from([1, 2, 3, 5]), st.integers(1, 3), st.integers(0, 2), st.integers(5, 9))
def test_conv2d(i: int, o: int, kernel: int, stride: int, padding: int, width: int) -> None:
    ours = nn.Conv2d(i, o, kernel, stride, padding)
    theirs = mlx.nn.Conv2d(i, o, kernel, stride, padding)
    same_parameters(ours, theirs)
    x = draw(2, 7, width, i)
    assert mx.array_equal(ours(x), theirs(x))


def test_conv2d_pads_each_side_by_its_own() -> None:
    padding = ((1, 2), (3, 0))
    ours = nn.Conv2d(3, 4, 3, padding=padding)
    theirs = mlx.nn.Conv2d(3, 4, 3)
    same_parameters(ours, theirs)
    x = draw(1, 5, 6, 3)
    assert mx.allclose(ours(x), theirs(mx.pad(x, [(0, 0), *padding, (0, 0)])), atol=1e-5)


@given(WIDTHS, WIDTHS)
def test_linear(i: int, o: int) -> None:
    ours, theirs = nn.Linear(i, o), mlx.nn.Linear(i, o)
    same_parameters(ours, theirs)
    x = draw(2, 1, 1, i)
    assert mx.allclose(ours(x), theirs(x), atol=1e-5)


@given(st.integers(1, 4), st.integers(1, 4), st.floats(1e-6, 1e-2), st.floats(-3, 3))
def test_group_norm(groups: int, width: int, eps: float, mean: float) -> None:
    ours = nn.GroupNorm(groups, groups * width, eps)
    theirs = mlx.nn.GroupNorm(groups, groups * width, eps, pytorch_compatible=True)
    same_parameters(ours, theirs)
    x = mean + draw(2, 5, 3, groups * width)
    assert mx.allclose(ours(x), theirs(x), atol=1e-4)


def test_silu() -> None:
    x = 5 * draw(2, 3, 4, 5)
    assert mx.allclose(nn.silu(x), mlx.nn.silu(x), atol=1e-6)


def test_upsample_nearest() -> None:
    x = draw(2, 3, 5, 4)
    assert mx.array_equal(nn.upsample_nearest(x), mlx.nn.Upsample(2, mode="nearest")(x))


def test_concat() -> None:
    a, b = draw(2, 3, 4, 5), draw(2, 3, 4, 1, seed=1)
    assert mx.array_equal(nn.concat([a, b]), mx.concatenate([a, b], axis=3))


@given(st.integers(1, 3), st.integers(1, 5))
def test_attention_is_that_of_mlx(heads: int, width: int) -> None:
    q, k, v = (draw(2, 3, 4, heads * width, seed=i) for i in range(3))
    split = [x.reshape(2, 12, heads, width).swapaxes(1, 2) for x in (q, k, v)]
    expected = mx.fast.scaled_dot_product_attention(*split, scale=width**-0.5).swapaxes(1, 2).reshape(q.shape)
    assert mx.allclose(nn.attention(q, k, v, heads), expected, atol=1e-5)


@pytest.mark.parametrize(("dim", "max_period"), [(4, 10000.0), (6, 10000.0), (128, 10000.0), (8, 500.0)])
def test_timestep_embedding_is_sines_then_cosines(dim: int, max_period: float) -> None:
    t = np.array([0.0, 3.0, 250.0])
    frequency = max_period ** (-np.arange(dim // 2) / (dim // 2 - 1))
    angle = t[:, None] * frequency
    expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)[:, None, None, :]
    found = nn.timestep_embedding(mx.array(t.astype(np.float32)), dim, max_period)
    assert found.shape == (3, 1, 1, dim)
    np.testing.assert_allclose(np.asarray(found), expected, atol=3e-5)


def test_layers_can_be_differentiated() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1)
    norm = nn.GroupNorm(3, 3)
    gradient = mx.grad(lambda x: nn.silu(norm(layer(x))).sum())(draw(1, 4, 4, 2))
    assert gradient.shape == (1, 4, 4, 2) and float(mx.abs(gradient).max()) > 0


def test_models_that_are_never_evaluated_leave_no_chain_behind() -> None:
    """In a process of its own: MLX overflows the stack where the generator's draws are all pending."""
    script = """
import mlx.core as mx
from sige_mlx import nn
for _ in range(40_000):
    layer = nn.Linear(1, 1)
print(mx.grad(lambda x: layer(x).sum())(mx.ones((1, 1, 1, 1))).shape)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert ended.stdout == "(1, 1, 1, 1)\n", (ended.returncode, ended.stderr)
