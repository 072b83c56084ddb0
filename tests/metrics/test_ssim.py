"""Structural similarity, against scikit-image and torchmetrics."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import ssim
from tests.metrics.references import nchw, noisy, reference


def test_as_scikit_image_has_it() -> None:
    theirs = reference("skimage.metrics").structural_similarity
    settings = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1, "channel_axis": -1}
    a, b = noisy()
    flat = [x * 0.01 + 0.9 for x in (a, b)]  # where squares cancel most
    for x, y in ((a, b), flat):
        wanted = [theirs(*np.float64((p, q)), **settings) for p, q in zip(x, y, strict=True)]
        np.testing.assert_allclose(ssim(x, y), wanted, atol=1e-5)


def test_as_torchmetrics_has_it_within_the_borders() -> None:
    theirs = reference("torchmetrics.functional.image").structural_similarity_index_measure
    a, b = noisy()
    _, full = theirs(nchw(a), nchw(b), data_range=1.0, return_full_image=True)
    within = full[:, :, 5:-5, 5:-5].mean((1, 2, 3))
    np.testing.assert_allclose(ssim(a, b), within.numpy(), atol=1e-5)


def test_equal_pictures_and_the_other_way_round() -> None:
    a, b = noisy()
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-6)
    np.testing.assert_allclose(ssim(a, b), ssim(b, a), atol=1e-7)
    assert (ssim(a, b) < 0.99).all()


def test_a_batch_is_its_pictures_one_by_one() -> None:
    a, b = noisy(3)
    alone = [ssim(x, y) for x, y in zip(a, b, strict=True)]
    assert all(type(value) is float for value in alone)
    np.testing.assert_array_equal(ssim(a, b), alone)
    np.testing.assert_array_equal(ssim(mx.array(a), mx.array(b)), alone)


def test_grey_levels_and_floats_are_one_picture() -> None:
    a, b = ((x * 255).round().astype(np.uint8) for x in noisy())
    np.testing.assert_allclose(ssim(a, b), ssim(a / 255, b / 255), atol=1e-6)


def test_only_the_mask_counts() -> None:
    a, b = noisy(1)
    changed = b.copy()
    changed[0, :10] = 0  # whose windows end above row 15
    mask = np.zeros(a.shape[1:3], np.bool_)
    mask[15:, 3:9] = True
    assert ssim(a, changed, mask) == ssim(a, b, mask)
    assert ssim(a, changed, ~mask) < ssim(a, b, ~mask)
    np.testing.assert_allclose(ssim(a, b, np.ones_like(mask)), ssim(a, b), atol=1e-7)
    single = np.zeros_like(mask)
    single[20, 20] = True
    window = (slice(None), slice(15, 26), slice(15, 26))
    np.testing.assert_allclose(ssim(a, b, single), ssim(a[window], b[window]), atol=1e-6)


def test_a_mask_for_each_picture() -> None:
    a, b = noisy(2)
    masks = np.zeros(a.shape[:3], np.bool_)
    masks[0, :20], masks[1, 20:] = True, True
    both = [ssim(x, y, mask) for x, y, mask in zip(a, b, masks, strict=True)]
    np.testing.assert_array_equal(ssim(a, b, masks), both)


def test_what_cannot_be_compared() -> None:
    a, b = noisy(2)
    with pytest.raises(SigeError, match="picture is 10×40"):
        ssim(a[:, :, :10], b[:, :, :10])
    border = np.zeros(a.shape[:3], np.bool_)
    border[:, 20, 20] = True
    border[1] = False
    border[1, 2] = True
    with pytest.raises(SigeError, match=r"picture's border for picture 2 of 2"):
        ssim(a, b, border)
    border[1] = False
    with pytest.raises(SigeError, match=r"SSIM of no pixels: the mask is empty for picture 2 of 2"):
        ssim(a, b, border)
