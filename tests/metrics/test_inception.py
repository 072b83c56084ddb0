"""FID's Inception, against pytorch-fid's with the same weights."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.metrics import FrechetDistance
from sige_mlx.metrics.inception import average
from tests.metrics.published import Publisher
from tests.metrics.references import nchw, noisy, reference


def random_state(network: Any) -> dict[str, Any]:
    """Weights that keep features of the size of the trained network's, and different from picture to picture."""
    import torch

    torch.manual_seed(0)
    drawn = {}
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            drawn[name] = torch.randn(value.shape) * (2 / np.prod(value.shape[1:])) ** 0.5
        elif name.endswith("running_var"):
            drawn[name] = 0.5 + torch.rand(value.shape)
        else:
            drawn[name] = 0.1 * torch.randn(value.shape) + float(name.endswith("bn.weight"))
        drawn[name] = drawn[name].to(value.dtype)
    return drawn


@pytest.fixture
def pair(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> tuple[FrechetDistance, Any]:
    """Ours, and pytorch-fid's."""
    module = reference("pytorch_fid.inception")
    kept: dict[str, Any] = {}

    def load_state_dict_from_url(*_: Any, **__: Any) -> dict[str, Any]:
        kept.update(random_state(module._inception_v3(num_classes=1008, aux_logits=False, weights=None)))
        return kept

    monkeypatch.setattr(module, "load_state_dict_from_url", load_state_dict_from_url)
    theirs = module.InceptionV3([module.InceptionV3.DEFAULT_BLOCK_INDEX]).eval()
    publisher.publish("inception-2015-12-05", {name: value.numpy() for name, value in kept.items()})
    return FrechetDistance(), theirs


def test_small_pictures(pair: tuple[FrechetDistance, Any]) -> None:
    import torch

    ours, theirs = pair
    theirs.resize_input = False
    a, _ = noisy(2, 75, 101)
    with torch.no_grad():
        wanted = theirs(nchw(a))[0][:, :, 0, 0].numpy()
    assert wanted.std() > 0.1
    np.testing.assert_allclose(np.asarray(ours.network(mx.array(2 * a - 1))), wanted, atol=1e-4)


@pytest.mark.slow
def test_pictures_of_any_size(pair: tuple[FrechetDistance, Any]) -> None:
    import torch

    ours, theirs = pair
    for size in ((64, 80), (400, 310)):
        a, _ = noisy(2, *size)
        with torch.no_grad():
            wanted = theirs(nchw(a))[0][:, :, 0, 0].numpy()
        assert wanted.std() > 0.1
        np.testing.assert_allclose(ours.features(a).rows, wanted, atol=1e-4, rtol=1e-4)


def test_means_at_the_border_are_of_what_is_there() -> None:
    x = mx.ones((1, 4, 5, 2))
    np.testing.assert_allclose(np.asarray(average(x)), 1, rtol=1e-6)
