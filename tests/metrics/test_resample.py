"""Planes of another size, against PyTorch."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.metrics.resample import bilinear


@pytest.mark.parametrize("size", [(299, 299), (7, 5), (17, 60), (40, 53), (1, 2)])
def test_as_pytorch_has_it(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", exc_type=ModuleNotFoundError)
    x = np.random.default_rng(0).random((2, 40, 53, 3), np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.tensor(x.transpose(0, 3, 1, 2)), size=size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(np.asarray(bilinear(mx.array(x), size)), theirs.numpy().transpose(0, 2, 3, 1), atol=1e-5)


def test_nothing_beyond_the_borders() -> None:
    x = mx.array(np.array([0, 1], np.float32).reshape(1, 1, 2, 1))
    np.testing.assert_allclose(np.asarray(bilinear(x, (2, 4)))[0, :, :, 0], [[0, 0.25, 0.75, 1]] * 2)
