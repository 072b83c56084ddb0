"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import psnr


def test_a_known_error() -> None:
    a = np.zeros((1, 4, 5, 3), np.float32)
    assert psnr(a, a + 0.2, data_range=2) == pytest.approx(20)
    assert psnr(a, a, data_range=2) == float("inf")


def test_grey_levels_do_not_wrap() -> None:
    a, b = np.full((2, 2, 3), 3, np.uint8), np.full((2, 2, 3), 5, np.uint8)
    assert psnr(a, b, data_range=255) == psnr(b, a, data_range=255) == pytest.approx(20 * np.log10(255 / 2))


def test_only_the_mask_counts() -> None:
    a = np.zeros((1, 4, 5, 3))
    b = a.copy()
    b[:, 1:3, 2] = 0.02
    b[:, 0, 0] = 5
    mask = np.zeros((4, 5), np.bool_)
    mask[1:3, 2] = True
    assert psnr(a, b, data_range=2, mask=mask) == pytest.approx(40)
    assert psnr(a[0], b[0], data_range=2, mask=mask) == pytest.approx(40)


def test_what_cannot_be_compared() -> None:
    a = np.zeros((4, 5, 3))
    with pytest.raises(SigeError, match=r"\(4, 5, 3\) with \(5, 4, 3\)"):
        psnr(a, np.zeros((5, 4, 3)), 2)
    with pytest.raises(SigeError, match="mask"):
        psnr(a, a, 2, np.ones((5, 4), np.bool_))
    with pytest.raises(SigeError, match="no pixels"):
        psnr(a, a, 2, np.zeros((4, 5), np.bool_))
