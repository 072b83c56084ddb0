"""LPIPS and ST-LPIPS, against the packages of their authors with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.converters import convert
from sige_mlx.errors import SigeError
from sige_mlx.metrics import Lpips, StLpips, weights
from sige_mlx.metrics.backbones import Backbone, alexnet, shift_tolerant_alexnet, shift_tolerant_vgg16, vgg16
from sige_mlx.metrics.lpips import Perceptual
from sige_mlx.metrics.perceptual import PerceptualNetwork
from tests.metrics.published import Publisher, arrays
from tests.metrics.references import in_the_middle, nchw, noisy, reference

NETS = ["alex", pytest.param("vgg", marks=pytest.mark.slow)]
SIZES = {"alex": (64, 71), "vgg": (33, 40)}


def as_torchvision(trunk: Any) -> dict[str, np.ndarray]:
    """LPIPS' parts of a network by the names that it has in torchvision's file, with what else is in there."""
    features = {f"features.{name.partition('.')[2]}": value for name, value in arrays(trunk).items()}
    return features | {"classifier.6.bias": np.zeros(1000, np.float32)}


def theirs(package: Any, of: str, seed: int, **settings: Any) -> Any:
    """A network of the package with random weights, whose distances are of the size of the trained one's."""
    import torch

    torch.manual_seed(seed)
    network = package.LPIPS(net=of, pnet_rand=True, verbose=False, **settings)
    for parameter in network.net.parameters():
        shape = parameter.shape
        torch.nn.init.normal_(parameter, 0, (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1)
    return network.eval()


def compare(ours: Perceptual, theirs: Any, of: str) -> None:
    """Whole, as a map and in a mask."""
    import torch

    a, b = noisy(2, *SIZES[of])
    mask = in_the_middle(a)
    with torch.no_grad():
        theirs.spatial = False
        whole = theirs(nchw(a), nchw(b), normalize=True)[:, 0, 0, 0].numpy()
        theirs.spatial = True
        plane = theirs(nchw(a), nchw(b), normalize=True)[:, 0].numpy()
    np.testing.assert_allclose(ours(a, b), whole, rtol=1e-5)
    np.testing.assert_allclose(ours.map(a, b), plane, rtol=1e-4)
    np.testing.assert_allclose(ours(a, b, mask), plane[:, mask].mean(-1), rtol=1e-5)
    np.testing.assert_array_equal(ours.map(a[0], b[0]).shape, plane[0].shape)


@pytest.mark.parametrize(("of", "trunk"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_lpips_as_its_package_has_it(publisher: Publisher, of: Any, trunk: str) -> None:
    """With the published heads and another trunk."""
    network = theirs(reference("lpips"), of, seed=1)
    heads = {name: value for name, value in arrays(network).items() if name.startswith("lin") and name[3].isdigit()}
    publisher.publish(trunk, as_torchvision(network.net))
    publisher.publish(f"lpips-{of}", heads)
    compare(Lpips(of), network, of)


@pytest.mark.parametrize("of", NETS)
def test_st_lpips_as_its_package_has_it(publisher: Publisher, of: Any) -> None:
    network = theirs(reference("stlpips_pytorch.stlpips"), of, seed=2, variant="shift_tolerant")
    publisher.publish(f"st-lpips-{of}", arrays(network))
    compare(StLpips(of), network, of)


@pytest.mark.parametrize("of", NETS)
def test_st_lpips_with_its_trained_weights(publisher: Publisher, of: Any) -> None:
    network = reference("stlpips_pytorch.stlpips").LPIPS(net=of, variant="shift_tolerant", verbose=False)
    file = weights.PUBLISHED[f"st-lpips-{of}"].installed()
    assert file is not None
    convert(file)
    compare(StLpips(of), network, of)


NETWORKS = [alexnet, vgg16, shift_tolerant_alexnet, shift_tolerant_vgg16]


@pytest.fixture(params=[alexnet, shift_tolerant_alexnet], ids=lambda build: build.__name__)
def measure(request: pytest.FixtureRequest) -> Perceptual:
    """With random weights."""
    return Perceptual(PerceptualNetwork(request.param()), "distance")


def test_equal_pictures_and_the_other_way_round(measure: Perceptual) -> None:
    a, b = noisy(1)
    assert measure(a, a) == 0 and measure(a, a, in_the_middle(a)) == 0
    assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-5)
    assert measure(a, b) > 0


def test_a_batch_is_its_pictures_one_by_one(measure: Perceptual) -> None:
    a, b = noisy(3, 36, 41)
    alone = [measure(x, y) for x, y in zip(a, b, strict=True)]
    assert all(type(value) is float for value in alone)
    np.testing.assert_allclose(measure(a, b), alone, rtol=1e-5)
    masks = np.stack([in_the_middle(a), ~in_the_middle(a), np.ones(a.shape[1:3], np.bool_)])
    alone = [measure(x, y, mask) for x, y, mask in zip(a, b, masks, strict=True)]
    np.testing.assert_allclose(measure(a, b, masks), alone, rtol=1e-5)


def test_a_mask_of_everything_is_the_mean_of_the_map(measure: Perceptual) -> None:
    a, b = noisy(1)
    everything = np.ones(a.shape[1:3], np.bool_)
    assert measure(a[0], b[0], everything) == pytest.approx(float(measure.map(a[0], b[0]).mean()), rel=1e-5)


def test_grey_levels_and_floats_are_one_picture(measure: Perceptual) -> None:
    a, b = ((x * 255).round().astype(np.uint8) for x in noisy(1))
    assert measure(a, b) == pytest.approx(measure(mx.array(a) / 255, mx.array(b) / 255), rel=1e-4)


@pytest.mark.parametrize("build", NETWORKS)
def test_the_smallest_pictures(build: Callable[[], Backbone]) -> None:
    measure = Perceptual(PerceptualNetwork(build()), "distance")
    least = measure.network.backbone.least
    a, b = noisy(1, least, least + 9)
    assert np.isfinite(measure(a, b))
    with pytest.raises(
        SigeError, match=rf"distance takes pictures of {least}×{least} pixels or more.*{least + 9}×{least - 1}"
    ):
        measure(a[:, 1:], b[:, 1:])


@pytest.mark.parametrize("build", NETWORKS)
def test_no_smaller_pictures_would_do(build: Callable[[], Backbone]) -> None:
    backbone = build()
    with pytest.raises(ValueError):  # MLX's of an empty plane, or ours of one that cannot be mirrored
        mx.eval(*backbone(mx.zeros((1, backbone.least - 1, 64, 3))))


def test_what_cannot_be_compared(measure: Perceptual) -> None:
    a, b = noisy(1)
    with pytest.raises(SigeError, match="the first picture has 1 channels: 3 would be right"):
        measure(a[..., :1], b[..., :1])
    with pytest.raises(SigeError, match="distance compares pictures of one size"):
        measure(a, b[:, 1:])
    with pytest.raises(SigeError, match="floats from 0 to 1 would be right"):
        measure(a * 2 - 1, b * 2 - 1)
    with pytest.raises(SigeError, match="distance of no pixels"):
        measure(a, b, np.zeros(a.shape[1:3], np.bool_))


@pytest.mark.parametrize("make", [Lpips, StLpips])
def test_other_networks(make: Any) -> None:
    with pytest.raises(SigeError, match="LPIPS of 'squeeze': it is of alex or vgg"):
        make("squeeze")
