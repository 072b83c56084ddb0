"""What the measures take for a picture and for a mask."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.metrics.given import batch, mask_of

GREY = np.full((4, 5, 3), 51, np.uint8)


@pytest.mark.parametrize(
    "given",
    [GREY, mx.array(GREY), Image.fromarray(GREY), GREY / 255, np.float16(GREY / 255), mx.full((4, 5, 3), 0.2)],
    ids=["uint8", "mx uint8", "Pillow", "float64", "float16", "mx float32"],
)
def test_pictures_of_every_kind(given: Any) -> None:
    found = batch(given)
    assert found.single and found.pixels.dtype == mx.float32
    assert (found.shape, found.planes) == ((4, 5, 3), (1, 4, 5))
    np.testing.assert_allclose(np.asarray(found.pixels), 0.2, atol=1e-4)


def test_bfloat16() -> None:
    given = mx.full((2, 4, 5, 3), 0.5, mx.bfloat16)
    assert not batch(given).single
    np.testing.assert_array_equal(np.asarray(batch(given).pixels), np.full((2, 4, 5, 3), 0.5))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((4, 5)), r"it has the shape \(4, 5\): \(H, W, C\) or \(B, H, W, C\) would be right"),
        (np.zeros((0, 4, 5, 3)), "it has the shape"),
        (np.full((4, 5, 3), -1.0), "it holds values from -1 to 0: floats from 0 to 1"),
        (np.full((4, 5, 3), 255.0), "it holds values from 0 to 255: floats from 0 to 1"),
        (np.full((4, 5, 3), np.nan), "it holds values that are no numbers"),
        (np.full((4, 5, 3), np.inf), "it holds values that are no numbers"),
        (np.zeros((4, 5, 3), np.int64), "it is of type int64: floats"),
        (np.zeros((4, 5, 3), np.bool_), "it is of type bool: floats"),
        (np.zeros((4, 5, 4)), "it has 4 channels: 3 would be right"),
        (object(), "it has the shape"),
    ],
)
def test_what_is_no_picture(given: Any, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        batch(given, "it", 3)


def test_rounding_is_no_other_range() -> None:
    assert batch(np.full((4, 5, 3), 1 + 1e-6)).single


def test_masks() -> None:
    one = np.ones((4, 5), np.bool_)
    assert mask_of(None, (2, 4, 5), "it") is None
    for given in (one, np.stack([one, one])):
        found = mask_of(given, (2, 4, 5), "it")
        assert found is not None and found.shape == (2, 4, 5)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.ones((4, 5), np.uint8), "the mask is of type uint8: bool would be right, True where PSNR looks"),
        (np.ones((5, 4), np.bool_), r"the mask is \(5, 4\) and the pictures are \(4, 5\): it must be their \(H, W\)"),
        (np.ones((3, 4, 5), np.bool_), r"or \(B, H, W\) \(2, 4, 5\)"),
        (np.zeros((4, 5), np.bool_), "PSNR of no pixels: the mask is empty"),
    ],
)
def test_what_is_no_mask(mask: np.ndarray, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        mask_of(mask, (2, 4, 5), "PSNR")
