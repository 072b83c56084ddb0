"""Functions against PyTorch's, whose networks' checkpoints they run."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
import torch.nn.functional as F

from sige_mlx import nn

WIDTHS = st.integers(1, 9)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def assert_same(ours: mx.array, theirs: torch.Tensor) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs.permute(0, 2, 3, 1).numpy(), atol=2e-5)


@given(WIDTHS, WIDTHS, st.sampled_from([1, 2, 3, 5]), st.integers(1, 3), st.integers(0, 2))
def test_conv2d(i: int, o: int, kernel: int, stride: int, padding: int) -> None:
    x, weight, bias = draw(2, 7, 6, i), draw(o, kernel, kernel, i, seed=1), draw(o, seed=2)
    pads = ((padding, padding), (padding, padding))
    ours = nn.conv2d(mx.array(x), mx.array(weight), mx.array(bias), stride, pads)
    theirs = F.conv2d(nchw(x), nchw(weight), torch.from_numpy(bias), stride, padding)
    assert_same(ours, theirs)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1e-6, 1e-3]))
def test_group_norm(groups: int, width: int, eps: float) -> None:
    c = groups * width
    x, weight, bias = 3 + draw(2, 5, 3, c), draw(c, seed=1), draw(c, seed=2)
    ours = nn.group_norm(mx.array(x), groups, mx.array(weight), mx.array(bias), eps)
    assert_same(ours, F.group_norm(nchw(x), groups, torch.from_numpy(weight), torch.from_numpy(bias), eps))


@given(st.integers(1, 3), st.integers(1, 5))
def test_attention(heads: int, width: int) -> None:
    q, k, v = (draw(2, 3, 4, heads * width, seed=i) for i in range(3))
    split = [torch.from_numpy(x).reshape(2, 12, heads, width).transpose(1, 2) for x in (q, k, v)]
    theirs = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(q.shape)
    ours = nn.attention(*(mx.array(x) for x in (q, k, v)), heads)
    np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), atol=1e-5)


def test_upsampling_and_activation() -> None:
    x = 4 * draw(2, 3, 5, 4)
    assert_same(nn.upsample_nearest(mx.array(x)), F.interpolate(nchw(x), scale_factor=2, mode="nearest"))
    assert_same(nn.silu(mx.array(x)), F.silu(nchw(x)))
