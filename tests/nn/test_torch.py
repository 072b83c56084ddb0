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


@pytest.mark.parametrize("constant", [0.0537, -11.3])
def test_instance_norm_of_large_planes_without_variance(constant: float) -> None:
    """Dead features are constant over the plane, and their scale is eps^-1/2: the mean must be exact."""
    x = np.full((1, 128, 256, 2), constant, np.float32)
    x[..., 1] += 1e-3 * draw(128, 256)
    x64 = torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2)
    expected = F.instance_norm(x64, eps=1e-5).permute(0, 2, 3, 1).numpy()
    # The input's last bit, scaled.
    bound = 4 * np.spacing(np.float32(abs(constant))) / 1e-5**0.5
    np.testing.assert_allclose(np.asarray(nn.instance_norm(mx.array(x))), expected, atol=bound)


@given(WIDTHS, st.sampled_from([1, 3, 5]), st.integers(1, 2))
def test_depthwise_conv2d(c: int, kernel: int, stride: int) -> None:
    x, weight, bias = draw(2, 7, 6, c), draw(c, kernel, kernel, 1, seed=1), draw(c, seed=2)
    pads = ((kernel // 2, kernel // 2), (kernel // 2, kernel // 2))
    ours = nn.conv2d(mx.array(x), mx.array(weight), mx.array(bias), stride, pads, groups=c)
    assert_same(ours, F.conv2d(nchw(x), nchw(weight), torch.from_numpy(bias), stride, kernel // 2, groups=c))


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_reflection(top: int, bottom: int, left: int, right: int) -> None:
    x, weight = draw(2, 5, 6, 3), draw(4, 3, 3, 3, seed=1)
    ours = nn.conv2d(mx.array(x), mx.array(weight), padding=((top, bottom), (left, right)), pad_mode="reflect")
    assert_same(ours, F.conv2d(F.pad(nchw(x), (left, right, top, bottom), mode="reflect"), nchw(weight)))


@given(WIDTHS, WIDTHS)
def test_conv_transpose2d(i: int, o: int) -> None:
    x, weight, bias = draw(2, 4, 5, i), draw(o, 3, 3, i, seed=1), draw(o, seed=2)
    iohw = torch.from_numpy(weight).permute(3, 0, 1, 2)
    theirs = F.conv_transpose2d(nchw(x), iohw, torch.from_numpy(bias), stride=2, padding=1, output_padding=1)
    assert_same(nn.conv_transpose2d(mx.array(x), mx.array(weight), mx.array(bias)), theirs)


@given(WIDTHS)
def test_instance_and_batch_norm(c: int) -> None:
    x, mean, var = 3 + draw(2, 5, 3, c), draw(c, seed=1), 0.1 + draw(c, seed=2) ** 2
    assert_same(nn.instance_norm(mx.array(x)), F.instance_norm(nchw(x)))
    weight, bias = draw(c, seed=3), draw(c, seed=4)
    affine = F.instance_norm(nchw(x), weight=torch.from_numpy(weight), bias=torch.from_numpy(bias))
    assert_same(nn.instance_norm(mx.array(x), weight=mx.array(weight), bias=mx.array(bias)), affine)
    statistics = [mean, var]
    theirs = F.batch_norm(nchw(x), *map(torch.from_numpy, statistics))
    assert_same(nn.batch_norm(mx.array(x), *map(mx.array, statistics)), theirs)
    theirs = F.batch_norm(nchw(x), *map(torch.from_numpy, [*statistics, weight, bias]))
    assert_same(nn.batch_norm(mx.array(x), *map(mx.array, statistics), 1e-5, mx.array(weight), mx.array(bias)), theirs)


@given(st.booleans(), WIDTHS)
def test_modulation(plane: bool, c: int) -> None:
    x, m = draw(2, 4, 3, c), draw(*((2, 4, 3) if plane else (2, 1, 1)), 2 * c, seed=1)
    scale, shift = nchw(m).chunk(2, dim=1)
    assert_same(nn.modulate(mx.array(x), mx.array(m)), nchw(x) * (1 + scale) + shift)


def test_log_snr_embedding() -> None:
    log_snr = torch.tensor([-30.0, -20.0, -3.5, 0.0, 1.0, 20.0, 25.0])
    t = torch.arctan(torch.exp(-0.5 * log_snr.clamp(-20.0, 20.0))) / (0.5 * torch.pi) * 1000
    ours = nn.log_snr_embedding(mx.array(log_snr.numpy()), 16)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(nn.timestep_embedding(mx.array(t.numpy()), 16)), atol=2e-3)


@given(st.integers(1, 3), st.integers(1, 5))
def test_attention(heads: int, width: int) -> None:
    q, k, v = (draw(2, 3, 4, heads * width, seed=i) for i in range(3))
    split = [torch.from_numpy(x).reshape(2, 12, heads, width).transpose(1, 2) for x in (q, k, v)]
    theirs = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(q.shape)
    ours = nn.attention(*(mx.array(x) for x in (q, k, v)), heads)
    np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), atol=1e-5)


def test_resampling_and_activations() -> None:
    x = 4 * draw(2, 4, 8, 4)
    ours, theirs = mx.array(x), nchw(x)
    assert_same(nn.upsample_nearest(ours), F.interpolate(theirs, scale_factor=2, mode="nearest"))
    for factor in (1, 2, 4):
        assert_same(nn.downsample_nearest(ours, factor), F.interpolate(theirs, scale_factor=1 / factor, mode="nearest"))
    assert_same(nn.avg_pool2d(ours), F.avg_pool2d(theirs, 2))
    assert_same(nn.silu(ours), F.silu(theirs))
    assert_same(nn.relu(ours), F.relu(theirs))
    assert_same(nn.leaky_relu(ours), F.leaky_relu(theirs, 0.2))
    assert_same(nn.tanh(ours), torch.tanh(theirs))
