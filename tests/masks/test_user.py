"""Masks that people draw, in the modes that drawing programs save."""

from __future__ import annotations

import io
import os
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.masks import user_mask
from tests.files import write_png16

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


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (130, 20, 20)])
def test_a_bright_stroke_of_any_colour_is_white(colour: tuple[int, int, int]) -> None:
    stroke = np.where(DRAWN[..., None], np.array(colour, np.uint8), 0).astype(np.uint8)
    for picture in (stroke, saved(Image.fromarray(stroke)), saved(Image.fromarray(stroke).quantize())):
        np.testing.assert_array_equal(user_mask(picture, DRAWN.shape), DRAWN)


def test_an_antialiased_stroke_in_red_is_decided_at_half() -> None:
    red = np.zeros((1, 4, 3), np.uint8)
    red[0, :, 0] = [0, 100, 128, 255]
    np.testing.assert_array_equal(user_mask(red, (1, 4)), [[0, 0, 1, 1]])


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
        (np.zeros((7, 5), np.uint8), r"^the mask is 5×7 pixels \(width × height\): its picture is 7×5, and both must"),
        (Image.new("L", (8, 5)), "mask is 8×5 pixels"),
        (np.zeros((5, 7, 5), np.uint8), r"\(5, 7, 5\)"),
        (np.zeros(35, np.uint8), r"\(35,\)"),
        (np.full((5, 7), 65536, np.int64), "int64 from 65536 to 65536"),
        (np.full((5, 7), 255.0), "float64 from 255 to 255: it must be bool, floats within 0 to 1, or integers"),
        (np.full((5, 7), np.inf), "to inf"),
        (np.full((5, 7), 1j), "complex128"),
        ([[1, 2], [3]], "a list that cannot be read as an array"),
        ((i for i in range(35)), "a generator: the path of a file, a Pillow image or an array would be right"),
        (None, "a NoneType: the path"),
        (5, "a int: the path"),
        (np.full((5, 7), np.nan), "nan"),
        (np.full((5, 7), -1), "from -1"),
        (np.full((5, 7), "white"), "<U5"),
    ],
)
def test_what_is_no_mask(pixels: np.ndarray | Image.Image, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        user_mask(pixels, (5, 7))


# ---- masks that are never half white


@pytest.mark.parametrize(
    ("full", "dtype"), [(1, np.uint8), (102, np.uint8), (76, np.uint8), (1, np.uint16), (255, np.uint16), (3, np.int64)]
)
def test_of_two_values_the_greater_is_edited(full: int, dtype: type) -> None:
    """0 and 1, a hard brush at 40 %, a dark colour, 8 bits in 16, the id of one object."""
    drawn = DRAWN.astype(dtype) * dtype(full)
    np.testing.assert_array_equal(user_mask(drawn, DRAWN.shape), DRAWN)
    if dtype != np.int64:
        np.testing.assert_array_equal(user_mask(saved(Image.fromarray(drawn)), DRAWN.shape), DRAWN)


def test_a_dark_colour_on_black() -> None:
    dark = np.where(DRAWN[..., None], np.array([90, 0, 20], np.uint8), 0).astype(np.uint8)
    np.testing.assert_array_equal(user_mask(dark, DRAWN.shape), DRAWN)


@pytest.mark.parametrize("colour", [0, 255, 40])
@pytest.mark.parametrize("opacity", [0.4, 0.05])
def test_a_faint_soft_brush_on_its_own_layer(colour: int, opacity: float) -> None:
    """Alpha is never more than the brush's: it is decided at half of that, not of full opacity."""
    distance = np.hypot(*(np.mgrid[:21, :21] - 10))
    alpha = np.rint(255 * opacity * np.clip((9 - distance) / 6, 0, 1))
    layer = np.dstack([np.full((21, 21, 3), colour), alpha]).astype(np.uint8)
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(layer)), (21, 21)), alpha >= alpha.max() / 2)


def ids() -> np.ndarray:
    """Three objects, 1 to 3, on background."""
    return np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(8, 0)


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (
            np.full((5, 7), 1, np.uint8),
            "^the mask is 1 everywhere, of 255, which would be white: it is neither",
        ),
        (np.full((5, 7), 100, np.uint8), "is 100 everywhere, of 255"),
        (np.full((5, 7), 255, np.uint16), "is 255 everywhere, of 65535"),
        (np.full((5, 7), 0.3), "is 0.3 everywhere, of 1"),
        (Image.new("RGB", (7, 5), (76, 0, 0)), "is 76 everywhere, of 255"),
        (ids(), "^the mask holds 0 to 3, in 4 values, of 255, which would be white: paint white what is edited"),
        (ids().astype(np.int64), "holds 0 to 3, in 4 values, of 255"),
        (Image.fromarray(ids().astype(np.uint16)), "holds 0 to 3, in 4 values, of 65535"),
        (np.linspace(0, 102, 35).reshape(5, 7).astype(np.uint8), "holds 0 to 102, in 35 values, of 255"),
        (np.linspace(0, 0.4, 35).reshape(5, 7), "holds 0 to 0.4, of 1"),
        (np.where(DRAWN, 60, 20).astype(np.uint8), "holds 20 to 60, in 2 values, of 255"),
        ((np.indices((5, 7)).sum(0) % 2).astype(np.uint8), "holds 0 and 1, of 255, .* scattered like noise"),
        (np.random.default_rng(0).integers(0, 2, (32, 32)).astype(np.uint8), "scattered like noise"),
        (np.eye(1, 35, 3, dtype=np.uint8).reshape(5, 7), "scattered like noise"),
        (np.array([[[255, 0, 0], [0, 255, 0], [255, 255, 255]]], np.uint8), "is bright in every pixel, and in colours"),
    ],
)
def test_what_is_neither_black_nor_white(pixels: np.ndarray | Image.Image, sentence: str) -> None:
    size = (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else pixels.shape[:2]
    with pytest.raises(SigeError, match=sentence):
        user_mask(pixels, size)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32])
def test_a_constant_one_is_white_where_nothing_is_above_it(dtype: type) -> None:
    assert user_mask(np.ones((5, 7), dtype), (5, 7)).all()


# ---- alpha that says nothing


@pytest.mark.parametrize("alpha", [254, 200, 128, 0])
def test_one_stray_pixel_of_alpha_does_not_turn_a_mask_around(alpha: int) -> None:
    big = np.kron(GREY, np.ones((4, 4), np.uint8))
    picture = np.dstack([big, big, big, np.full_like(big, 255)])
    picture[0, 0, 3] = alpha
    np.testing.assert_array_equal(user_mask(saved(Image.fromarray(picture)), big.shape), big > 0)


def test_an_edit_on_a_layer_of_its_own_counts_by_its_opacity_whatever_its_colours() -> None:
    layer = np.random.default_rng(0).integers(0, 256, (*DRAWN.shape, 4)).astype(np.uint8)
    layer[..., 3] = GREY
    np.testing.assert_array_equal(user_mask(layer, DRAWN.shape), DRAWN)


# ---- whatever holds them


def test_files_and_arrays_of_any_layout(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "m.png")
    Image.fromarray(GREY.T).save(tmp_path / "turned.png", exif=turned())
    for file in (tmp_path / "m.png", str(tmp_path / "m.png"), os.fsencode(tmp_path / "m.png")):
        np.testing.assert_array_equal(user_mask(file, DRAWN.shape), DRAWN)
    frozen = GREY.copy()
    frozen.flags.writeable = False
    twice = np.repeat(np.repeat(GREY, 2, 0), 2, 1)
    for array in (np.asfortranarray(GREY), frozen, twice[::2, ::2], mx.array(GREY), GREY.tolist()):
        np.testing.assert_array_equal(user_mask(array, DRAWN.shape), DRAWN)
    assert user_mask(Image.open(tmp_path / "turned.png"), DRAWN.shape).sum() == DRAWN.sum()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32])
def test_floats_that_numpy_lacks(dtype: mx.Dtype) -> None:
    np.testing.assert_array_equal(user_mask(mx.array(DRAWN, dtype), DRAWN.shape), DRAWN)


def test_lab(tmp_path: Path) -> None:
    lab = Image.merge("LAB", [Image.fromarray(GREY), *(Image.new("L", (7, 5), 128) for _ in range(2))])
    lab.save(tmp_path / "m.tiff")
    np.testing.assert_array_equal(user_mask(tmp_path / "m.tiff", DRAWN.shape), DRAWN)


def test_sixteen_bits_a_channel_whose_upper_eight_are_empty(tmp_path: Path) -> None:
    write_png16(tmp_path / "m.png", np.where(DRAWN, 255, 0)[..., None].repeat(3, 2))
    with pytest.raises(SigeError, match="has 16 bits a channel, of which the upper 8 are read, and these are all 0"):
        user_mask(tmp_path / "m.png", DRAWN.shape)
    write_png16(tmp_path / "m.png", np.where(DRAWN, 65535, 0)[..., None].repeat(3, 2))
    np.testing.assert_array_equal(user_mask(tmp_path / "m.png", DRAWN.shape), DRAWN)
