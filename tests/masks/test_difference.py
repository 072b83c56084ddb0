"""Difference mask, dilation and pyramid against loops that say the rule pixel by pixel, and against frozen masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sige_mlx.errors import SigeError
from sige_mlx.masks import difference_mask, dilate, mask_pyramid
from tests.reference import case_names, load_case, load_config

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=17))


def dilate_by_loop(mask: np.ndarray, radius: int) -> np.ndarray:
    grown = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        grown[max(y - radius, 0) : y + radius + 1, x] = True
        grown[y, max(x - radius, 0) : x + radius + 1] = True
    return grown


def halve_by_loop(share: np.ndarray) -> np.ndarray:
    height, width = share.shape
    half = np.zeros((math.ceil(height / 2), math.ceil(width / 2)))
    for y, x in np.ndindex(*half.shape):
        rows, columns = (2 * y, min(2 * y + 1, height - 1)), (2 * x, min(2 * x + 1, width - 1))
        half[y, x] = sum(share[r, c] for r in rows for c in columns) / 4
    return half


def edges(instances: np.ndarray) -> np.ndarray:
    """Pixels that differ from a 4-neighbour: the last input channel of the label-to-image networks."""
    edge = np.zeros(instances.shape, np.bool_)
    for axis in (0, 1):
        crossing = np.diff(instances, axis=axis) != 0
        for before in ((1, 0), (0, 1)):
            edge |= np.pad(crossing, [before if a == axis else (0, 0) for a in (0, 1)])
    return edge


def network_input(case: dict[str, np.ndarray], which: str) -> np.ndarray:
    labels, instances = case[f"labels{which}"], case[f"instances{which}"]
    return np.stack([*(labels == i for i in range(35)), edges(instances)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("name", [*case_names("ddpm"), *case_names("pd")])
def test_frozen_masks_of_images(name: str) -> None:
    case, config = load_case(name), load_config(name.rsplit("-", 1)[0])
    difference = difference_mask(case["original"], case["edited"], config["eps"])[0]
    np.testing.assert_array_equal(dilate(difference, config["mask_dilate_radius"]), case["mask"])


@pytest.mark.parametrize("name", case_names("ga"))
def test_frozen_masks_of_labels(name: str) -> None:
    case, config = load_case(name), load_config(name.rsplit("-", 1)[0])
    difference = difference_mask(network_input(case, ""), network_input(case, "_edited"), 1e-3)
    np.testing.assert_array_equal(dilate(difference, config["mask_dilate_radius"]), case["mask"])


def test_any_channel_beyond_eps_counts_in_either_direction() -> None:
    original = np.zeros((2, 3, 4), np.float32)
    edited = original.copy()
    edited[0, 0, 3], edited[0, 1, 0], edited[1, 2, 1], edited[1, 0, 2] = 0.25, -0.25, 0.125, -0.125
    expected = np.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(difference_mask(original, edited, 0.125), expected)


@given(arrays(np.uint8, (2, 3, 5, 3)), arrays(np.uint8, (2, 3, 5, 3)), st.sampled_from([0.0, 0.01, 0.5, 1.99, 2.0]))
def test_grey_levels_mean_the_same_as_floats(a: np.ndarray, b: np.ndarray, eps: float) -> None:
    images = a / 127.5 - 1, b / 127.5 - 1
    np.testing.assert_array_equal(difference_mask(a, b, eps), difference_mask(*images, eps + 1e-12))


@pytest.mark.parametrize(
    ("original", "edited", "sentence"),
    [
        (np.zeros((4, 4, 3)), np.zeros((4, 5, 3)), r"\(4, 4, 3\).*\(4, 5, 3\)"),
        (np.zeros((4, 4)), np.zeros((4, 4)), r"H, W, C"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3)), "uint8.*float64"),
        (np.zeros((4, 4, 1), np.int32), np.zeros((4, 4, 1), np.int32), "int32"),
    ],
)
def test_inputs_that_cannot_be_compared(original: np.ndarray, edited: np.ndarray, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        difference_mask(original, edited, 0.01)


@given(masks, st.integers(0, 20))
def test_dilation_is_a_plus(mask: np.ndarray, radius: int) -> None:
    np.testing.assert_array_equal(dilate(mask, radius), dilate_by_loop(mask, radius))


@given(arrays(np.bool_, (3, 5, 6)), st.integers(0, 7), st.integers(1, 4))
def test_images_of_a_batch_do_not_mix(batch: np.ndarray, radius: int, levels: int) -> None:
    np.testing.assert_array_equal(dilate(batch, radius), np.stack([dilate(mask, radius) for mask in batch]))
    together, apart = mask_pyramid(batch, levels), [mask_pyramid(mask, levels) for mask in batch]
    for level in range(levels):
        np.testing.assert_array_equal(together[level], np.stack([pyramid[level] for pyramid in apart]))


@given(masks, masks, st.integers(0, 3))
def test_dilation_grows_with_the_mask(a: np.ndarray, b: np.ndarray, radius: int) -> None:
    larger = a.copy()
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    larger[:height, :width] |= b[:height, :width]
    assert not (dilate(a, radius) & ~dilate(larger, radius)).any()


@given(masks, st.integers(1, 6), st.integers(0, 2))
def test_pyramid_follows_its_rule(mask: np.ndarray, levels: int, dilation: int) -> None:
    share = mask.astype(np.float64)
    pyramid = mask_pyramid(mask, levels, dilation)
    assert len(pyramid) == levels
    for level in pyramid:
        threshold = max(min(0.3, share.max() - 1e-3), 0)
        np.testing.assert_array_equal(level, dilate_by_loop(share > threshold, dilation))
        assert level.any() == mask.any()
        share = halve_by_loop(share)


def test_one_pixel_survives_to_the_top_and_stays_one_pixel() -> None:
    mask = np.zeros((256, 256), np.bool_)
    mask[77, 201] = True
    for level, low in enumerate(mask_pyramid(mask, 9, dilation=0)):
        np.testing.assert_array_equal(np.argwhere(low), [[77 >> level, 201 >> level]])


def test_full_and_empty_masks_stay_so() -> None:
    for fill in (False, True):
        pyramid = mask_pyramid(np.full((37, 20), fill), 5)
        assert [low.shape for low in pyramid] == [(37, 20), (19, 10), (10, 5), (5, 3), (3, 2)]
        assert all((low == fill).all() for low in pyramid)


def test_a_quarter_is_lost_beside_a_whole_pixel_and_kept_without() -> None:
    mask = np.zeros((2, 8), np.bool_)
    mask[0, 0] = True
    np.testing.assert_array_equal(mask_pyramid(mask, 2, dilation=0)[1], [[True, False, False, False]])
    mask[:, 4:6] = True
    np.testing.assert_array_equal(mask_pyramid(mask, 2, dilation=0)[1], [[False, False, True, False]])


def test_three_tenths_of_a_pixel_is_not_enough_beside_a_whole_one() -> None:
    mask = np.zeros((8, 24), np.bool_)
    mask[:, :8] = True
    mask[:2, 8:16], mask[2, 8:11] = True, True  # 19 of 64
    mask[:2, 16:24], mask[2, 16:20] = True, True  # 20 of 64
    np.testing.assert_array_equal(mask_pyramid(mask, 4, dilation=0)[3], [[True, False, True]])


def test_arguments_out_of_range() -> None:
    mask = np.zeros((4, 4), np.bool_)
    with pytest.raises(SigeError, match="radius is -1"):
        dilate(mask, -1)
    with pytest.raises(SigeError, match="number of levels of a mask pyramid is 0"):
        mask_pyramid(mask, 0)
    with pytest.raises(SigeError, match=r"radius is 1\.5: it must be a whole number"):
        dilate(mask, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("eps", [-0.1, float("nan"), None, "0.1", True])
def test_a_tolerance_that_is_none(eps: float) -> None:
    """NaN, compared with anything, would find no edit at all."""
    with pytest.raises(SigeError, match=r"^eps is .*: it must be (a number, )?from 0"):
        difference_mask(np.zeros((2, 2, 3)), np.ones((2, 2, 3)), eps)


def test_pictures_that_hold_nan() -> None:
    broken = np.zeros((2, 2, 3))
    broken[1, 1, 2] = np.nan
    for pair in ((broken, np.zeros((2, 2, 3))), (np.zeros((2, 2, 3)), broken)):
        with pytest.raises(SigeError, match="hold NaN"):
            difference_mask(*pair, 0.01)
