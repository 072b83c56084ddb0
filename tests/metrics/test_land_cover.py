"""What sees land cover: the network against its twin in PyTorch, and the one in the package on what it has not seen."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.errors import SigeError
from sige_mlx.metrics import Iou, LandCover
from sige_mlx.metrics.land_cover import LandCoverConfig, LandCoverNet
from tests.metrics.references import nchw, noisy


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_as_the_twin_in_pytorch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", exc_type=ModuleNotFoundError)
    from benchmarks.torch_models.land_cover import LandCoverSegmenter

    torch.manual_seed(0)
    config = LandCoverConfig(classes=5, widths=(6, 8, 10))
    twin, ours = LandCoverSegmenter(config.classes, config.widths), LandCoverNet(config)
    with torch.no_grad():
        for value in twin.parameters():
            value.normal_(0, 0.3)
        pictures = 2 * noisy(2, *size)[0] - 1
        wanted = twin(nchw(pictures)).numpy().transpose(0, 2, 3, 1)
    weights = {name: value.numpy() for name, value in twin.state_dict().items()}
    laid_out = {name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for name, value in weights.items()}
    ours.load_weights([(name, mx.array(np.ascontiguousarray(value))) for name, value in laid_out.items()])
    found = np.asarray(ours(mx.array(pictures)))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_held_out_strip_shows_what_its_label_map_says() -> None:
    """And one moved by some pixels less well."""
    with Image.open(zoo.ASSETS / "held-out/picture.jpg") as image:
        pixels = np.asarray(image)[256:1536, :448]
    with Image.open(zoo.ASSETS / "held-out/labels.png") as image:
        labels = np.asarray(image)[256:1536, :448]
    seen = LandCover()(pixels)
    right, moved = Iou(12), Iou(12)
    right.add(labels, seen)
    moved.add(np.roll(labels, 8, 1), seen)
    assert np.trace(right.confusion) / right.confusion.sum() > 0.8
    assert right.mean > 0.5 and right.mean > moved.mean + 0.1


def test_pictures_of_a_batch_are_seen_as_each_alone() -> None:
    pictures = noisy(2, 32, 64)[1]
    sees = LandCover()
    found = sees(pictures)
    assert found.shape == (2, 32, 64) and found.dtype == np.uint8 and found.max() < len(zoo.classes(zoo.LABELS))
    np.testing.assert_array_equal(sees(pictures[1]), found[1])


def test_other_sizes() -> None:
    sees = LandCover()
    with pytest.raises(SigeError, match=r"sides that are multiples of 16, and this one is 32×40 \(width × height\)"):
        sees(np.zeros((40, 32, 3), np.uint8))
    with pytest.raises(SigeError, match="has 4 channels"):
        sees(np.zeros((32, 32, 4), np.uint8))
