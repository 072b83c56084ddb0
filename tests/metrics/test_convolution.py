"""The convolutions of measures are MLX's layer, whatever computes them."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest

from sige_mlx.metrics import convolution


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "bias"),
    [(3, 1, 1, True), (11, 4, 2, True), (1, 1, 0, False), ((1, 7), (2, 1), (0, 3), True)],
)
def test_it_is_mlx_layer(kernel: object, stride: object, padding: object, bias: bool) -> None:
    layer = convolution.Conv2d(5, 7, kernel, stride, padding, bias=bias)
    x = mx.random.normal((2, 17, 23, 5), key=mx.random.key(0))
    expected = np.asarray(mlx.nn.Conv2d.__call__(layer, x))
    assert np.allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_rows_are_laid_out_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = convolution.Conv2d(3, 4, 3, padding=1)
    x = mx.random.normal((1, 9, 8, 3), key=mx.random.key(0))
    whole = np.asarray(layer(x))
    monkeypatch.setattr(convolution, "PATCHES", 8 * 27 * 2)
    assert np.allclose(layer(x), whole, rtol=1e-6, atol=1e-6)
