"""Peak signal-to-noise ratio."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import psnr
from tests.metrics.references import noisy, reference


def test_as_scikit_image_has_it() -> None:
    theirs = reference("skimage.metrics").peak_signal_noise_ratio
    a, b = noisy()
    mask = np.zeros(a.shape[1:3], np.bool_)
    mask[3:20, 5:9] = True
    for x, y, white in ((a, b, 1), (*((x * 255).round().astype(np.uint8) for x in (a, b)), 255)):
        wanted = [theirs(p, q, data_range=white) for p, q in zip(x, y, strict=True)]
        np.testing.assert_allclose(psnr(x, y), wanted, atol=1e-5)
        wanted = [theirs(p[mask], q[mask], data_range=white) for p, q in zip(x, y, strict=True)]
        np.testing.assert_allclose(psnr(x, y, mask=mask), wanted, atol=1e-5)


def test_a_known_error() -> None:
    a = np.zeros((1, 4, 5, 3), np.float32)
    assert psnr(a, a + 0.2, data_range=2) == pytest.approx(20)
    assert psnr(a, a + 0.1) == pytest.approx(20)
    assert psnr(a, a, data_range=2) == psnr(a, a) == float("inf")


def test_grey_levels_do_not_wrap() -> None:
    a, b = np.full((2, 2, 3), 3, np.uint8), np.full((2, 2, 3), 5, np.uint8)
    assert psnr(a, b, data_range=255) == psnr(b, a, data_range=255) == pytest.approx(20 * np.log10(255 / 2))
    assert psnr(a, b) == psnr(b, a) == pytest.approx(20 * np.log10(255 / 2))


def test_a_batch_is_its_pictures_one_by_one() -> None:
    a, b = noisy(3)
    alone = [psnr(x, y) for x, y in zip(a, b, strict=True)]
    assert all(type(value) is float for value in alone)
    np.testing.assert_array_equal(psnr(a, b), alone)
    np.testing.assert_array_equal(psnr(mx.array(a), mx.array(b)), alone)


def test_only_the_mask_counts() -> None:
    a = np.zeros((1, 4, 5, 3))
    b = a.copy()
    b[:, 1:3, 2] = 0.02
    b[:, 0, 0] = 0.5
    mask = np.zeros((4, 5), np.bool_)
    mask[1:3, 2] = True
    assert psnr(a, b, data_range=2, mask=mask) == pytest.approx(40)
    assert psnr(a[0], b[0], data_range=2, mask=mask) == pytest.approx(40)
    assert psnr(a, b, mask=np.ones_like(mask)) == psnr(a, b)


def test_a_mask_for_each_picture() -> None:
    a, b = noisy(2)
    masks = np.zeros(a.shape[:3], np.bool_)
    masks[0, :20], masks[1, 20:] = True, True
    both = [psnr(x, y, mask=mask) for x, y, mask in zip(a, b, masks, strict=True)]
    np.testing.assert_array_equal(psnr(a, b, mask=masks), both)


def test_what_cannot_be_compared() -> None:
    a = np.zeros((4, 5, 3))
    with pytest.raises(SigeError, match=r"\(4, 5, 3\) with \(5, 4, 3\)"):
        psnr(a, np.zeros((5, 4, 3)), 2)
    with pytest.raises(SigeError, match=r"\(4, 5, 3\) with \(1, 4, 5, 3\)"):
        psnr(a, a[None])
    with pytest.raises(SigeError, match="mask"):
        psnr(a, a, 2, np.ones((5, 4), np.bool_))
    with pytest.raises(SigeError, match="no pixels"):
        psnr(a, a, 2, np.zeros((4, 5), np.bool_))
    with pytest.raises(SigeError, match="white minus black"):
        psnr(a, a, 0)
    with pytest.raises(SigeError, match="the first picture is of type bool: integers or floats would be right"):
        psnr(a > 0, a, 1)
