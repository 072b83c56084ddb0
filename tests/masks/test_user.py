"""Masks that people draw, in the modes that drawing programs save."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.masks import user_mask

DRAWN = np.zeros((5, 7), np.bool_)
DRAWN[1:3, 2:6] = True
GREY = np.where(DRAWN, 255, 0).astype(np.uint8)


def saved(picture: Image.Image) -> Image.Image:
    """The picture as it comes back from a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Image.open(file)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_black_and_white_in_every_mode(mode: str) -> None:
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(GREY).convert(mode)), DRAWN.shape), DRAWN)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "F"])
def test_modes_of_pillow_that_png_lacks(mode: str) -> None:
    picture = Image.fromarray(GREY).convert("RGB").convert(mode) if mode != "F" else Image.fromarray(GREY / 255.0)
    np.testing.assert_array_equal(user_mask(picture, DRAWN.shape), DRAWN)


def test_sixteen_bits() -> None:
    deep = np.where(DRAWN, 40000, 30000).astype(np.uint16)
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(deep)), DRAWN.shape), DRAWN)
    np.testing.assert_array_equal(user_mask(Image.fromarray(deep.astype(np.int32)), DRAWN.shape), DRAWN)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_a_stroke_on_its_own_layer_counts_by_its_opacity(colour: tuple[int, int, int]) -> None:
    layer = np.dstack([np.broadcast_to(np.array(colour, np.uint8), (*DRAWN.shape, 3)), GREY])
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(layer)), DRAWN.shape), DRAWN)
    np.testing.assert_array_equal(user_mask(layer, DRAWN.shape), DRAWN)
    np.testing.assert_array_equal(user_mask(layer[..., 2:], DRAWN.shape), DRAWN)


@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_constant_alpha_leaves_it_to_the_luminance(alpha: int) -> None:
    picture = np.dstack([GREY, GREY, GREY, np.full_like(GREY, alpha)])
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(picture)), DRAWN.shape), DRAWN)


def test_a_palette_with_a_transparent_colour() -> None:
    picture = Image.fromarray(DRAWN.astype(np.uint8), "P")
    picture.putpalette([10, 10, 10, 10, 10, 10])
    picture.info["transparency"] = 0
    np.testing.assert_array_equal(user_mask(saved(picture), DRAWN.shape), DRAWN)


def test_colour_counts_by_its_luminance() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]], np.uint8)
    np.testing.assert_array_equal(user_mask(colours, (1, 4)), [[False, True, False, True]])


@pytest.mark.parametrize(
    "pixels",
    [DRAWN, GREY, DRAWN.astype(np.uint8), DRAWN.astype(np.int64), DRAWN.astype(np.float32), GREY[..., None]],
    ids=["bool", "uint8", "uint8 0/1", "int64 0/1", "float", "one channel"],
)
def test_arrays(pixels: np.ndarray) -> None:
    result = user_mask(pixels, DRAWN.shape)
    assert result.dtype == np.bool_
    np.testing.assert_array_equal(result, DRAWN)


def test_grey_is_decided_at_half() -> None:
    np.testing.assert_array_equal(user_mask(np.array([[0, 127, 128, 255]], np.uint8), (1, 4)), [[0, 0, 1, 1]])
    np.testing.assert_array_equal(user_mask(np.array([[0.49, 0.5]]), (1, 2)), [[0, 1]])


@pytest.mark.parametrize("fill", [0, 255])
def test_empty_and_full(fill: int) -> None:
    assert (user_mask(Image.new("L", (7, 5), fill), (5, 7)) == (fill == 255)).all()


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.zeros((7, 5), np.uint8), "mask is 5×7 and its image 7×5"),
        (Image.new("L", (8, 5)), "mask is 8×5 and its image 7×5"),
        (np.zeros((5, 7, 5), np.uint8), r"\(5, 7, 5\)"),
        (np.zeros(35, np.uint8), r"\(35,\)"),
        (np.full((5, 7), 255, np.int64), "int64 from 255 to 255"),
        (np.full((5, 7), 255.0), "float64 from 255.0 to 255.0"),
        (np.full((5, 7), np.nan), "nan"),
        (np.full((5, 7), -1), "from -1"),
        (np.full((5, 7), "white"), "<U5"),
    ],
)
def test_what_is_no_mask(pixels: np.ndarray | Image.Image, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        user_mask(pixels, (5, 7))
