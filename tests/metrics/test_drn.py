"""The segmenting network, against its twin in PyTorch with the same weights, from a file like the authors'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import Segmenter, weights
from sige_mlx.metrics.drn import DRN, DRNConfig, dilated, enlarged
from tests.metrics.published import Publisher, arrays
from tests.metrics.references import nchw, noisy

NAME = "drn-d-105-cityscapes"
SMALL = DRNConfig(blocks=(2, 1, 2, 1, 3, 1, 2, 1), channels=(4, 8, 6, 8, 8, 8, 16, 12))
MEAN = np.array([0.29010095, 0.32808144, 0.28696394])
DEVIATION = np.array([0.18295405, 0.18656561, 0.18447509])


def twin(config: DRNConfig) -> Any:
    """With random weights, and normalisations that do something."""
    torch = pytest.importorskip("torch", exc_type=ModuleNotFoundError)
    from benchmarks.torch_models.drn import DRNSegmenter

    torch.manual_seed(0)
    network = DRNSegmenter(config.classes, config.blocks, config.channels).eval()
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim == 1 and value.is_floating_point():
            value.normal_(float(name.endswith("weight")), 0.1)
    return network


def compare(network: Any, ours: Segmenter, size: tuple[int, int]) -> None:
    """Scores, but for what a softmax takes off them, and the classes seen."""
    import torch

    a, _ = noisy(2, *size)
    normalised = ((a - MEAN) / DEVIATION).astype(np.float32)
    with torch.no_grad():
        wanted = network(nchw(normalised)).numpy().transpose(0, 2, 3, 1)
    found = np.asarray(ours.network(mx.array(normalised)), np.float64)
    found -= np.log(np.exp(found).sum(-1, keepdims=True))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))
    seen = ours(a)
    assert seen.shape == a.shape[:3] and seen.dtype == np.uint8
    assert len(np.unique(seen)) > 1
    best, next_best = np.sort(wanted, -1)[..., -1], np.sort(wanted, -1)[..., -2]
    clear = best - next_best > 1e-3 * np.abs(wanted).max()
    np.testing.assert_array_equal(seen[clear], wanted.argmax(-1)[clear])
    np.testing.assert_array_equal(ours(a[1]), seen[1])


def test_a_small_one(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    network = twin(SMALL)
    monkeypatch.setitem(weights.PUBLISHED, NAME, replace(weights.PUBLISHED[NAME], network=lambda: DRN(SMALL)))
    made = publisher.publish(NAME, arrays(network))
    assert made.measure == "mIoU" and made.folder == weights.folder(NAME)
    compare(network, Segmenter(), (32, 40))


@pytest.mark.slow
def test_the_published_one(publisher: Publisher) -> None:
    network = twin(DRNConfig())
    assert sum(p.numel() for p in network.base.parameters()) / 1e6 == pytest.approx(54.3, abs=0.1)  # 54.8 with its head
    publisher.publish(NAME, arrays(network))
    compare(network, Segmenter(), (64, 96))


def test_scores_are_enlarged_as_by_the_transposed_convolution() -> None:
    network = twin(SMALL)
    scores = np.random.default_rng(0).standard_normal((2, 3, 4, 19)).astype(np.float32)
    wanted = network.up(nchw(scores)).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(np.asarray(enlarged(mx.array(scores))), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (3, 5)])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_dilated_convolutions(size: tuple[int, int], dilation: int) -> None:
    """Against MLX's own, which takes minutes for a picture on the CPU."""
    x = mx.random.normal((2, *size, 3))
    conv = mlx.nn.Conv2d(3, 5, 3, padding=1)
    wanted = mx.conv2d(x, conv.weight, padding=dilation, dilation=dilation) + conv.bias
    np.testing.assert_allclose(np.asarray(dilated(conv, x, dilation)), np.asarray(wanted), atol=1e-5)


def test_other_sizes(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", lambda name: (DRN(SMALL), ""))
    with pytest.raises(SigeError, match=r"sides that are multiples of 8, and this one is 40×33 \(width × height\)"):
        Segmenter()(np.zeros((33, 40, 3), np.uint8))
    with pytest.raises(SigeError, match="has 4 channels"):
        Segmenter()(np.zeros((32, 40, 4), np.uint8))
