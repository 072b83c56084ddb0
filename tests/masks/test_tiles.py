"""Active tiles against the definition: a tile is active when one of its outputs, edited or not, can see the edit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sige_mlx.errors import SigeError
from sige_mlx.masks import active_tiles, tile_grid, tile_list

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=23))
CONVOLUTIONS = {
    "3x3": {"kernel": 3, "stride": 1, "padding": (1, 1)},
    "1x1": {"kernel": 1, "stride": 1, "padding": (0, 0)},
    "3x3 stride 2": {"kernel": 3, "stride": 2, "padding": (0, 1)},
    "3x3 stride 2 centred": {"kernel": 3, "stride": 2, "padding": (1, 1)},
    "7x7": {"kernel": 7, "stride": 1, "padding": (3, 3)},
    "4x4 padded before only": {"kernel": 4, "stride": 3, "padding": (5, 0)},
}
convolutions = st.sampled_from(list(CONVOLUTIONS.values()))


def outputs(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> int:
    return max((size + sum(padding) - kernel) // stride + 1, 0)


def tiles_by_loop(
    mask: np.ndarray, tile: int, kernel: int, stride: int, padding: tuple[int, int], whole: bool
) -> np.ndarray:
    """Tiles with an active output; `whole` also counts outputs of a last partial tile that lie beyond the image."""
    height, width = (outputs(size, kernel, stride, padding) for size in mask.shape)
    active = np.zeros((-(-height // tile), -(-width // tile)), np.bool_)
    rows, columns = (active.shape[0] * tile, active.shape[1] * tile) if whole else (height, width)
    for y, x in np.ndindex(rows, columns):
        top, left = y * stride - padding[0], x * stride - padding[0]
        active[y // tile, x // tile] |= mask[
            max(top, 0) : max(top + kernel, 0), max(left, 0) : max(left + kernel, 0)
        ].any()
    return active


@given(masks, st.integers(1, 8), convolutions)
def test_tiles_follow_their_definition(mask: np.ndarray, tile: int, convolution: dict) -> None:
    expected = tiles_by_loop(mask, tile, **convolution, whole=True)
    np.testing.assert_array_equal(active_tiles(mask, tile, **convolution), expected)


@given(masks, st.integers(1, 8), convolutions)
def test_no_output_that_sees_the_edit_is_missed(mask: np.ndarray, tile: int, convolution: dict) -> None:
    needed = tiles_by_loop(mask, tile, **convolution, whole=False)
    assert not (needed & ~active_tiles(mask, tile, **convolution)).any()


@given(arrays(np.bool_, (13, 18)), arrays(np.bool_, (13, 18)), convolutions)
def test_a_larger_mask_means_more_tiles(a: np.ndarray, b: np.ndarray, convolution: dict) -> None:
    assert not (active_tiles(a, **convolution) & ~active_tiles(a | b, **convolution)).any()


@given(arrays(np.bool_, (3, 9, 14)), convolutions)
def test_images_of_a_batch_do_not_mix(batch: np.ndarray, convolution: dict) -> None:
    apart = np.stack([active_tiles(mask, **convolution) for mask in batch])
    np.testing.assert_array_equal(active_tiles(batch, **convolution), apart)


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_empty_and_full(convolution: str) -> None:
    settings = CONVOLUTIONS[convolution]
    assert not active_tiles(np.zeros((10, 9), np.bool_), **settings).any()
    assert active_tiles(np.ones((10, 9), np.bool_), **settings).all()


@pytest.mark.parametrize(
    ("pixel", "tiles"),
    [
        ((0, 0), [[0, 0]]),
        ((15, 15), [[3, 3]]),
        ((0, 15), [[0, 3]]),
        ((5, 5), [[1, 1]]),
        ((3, 9), [[0, 2], [1, 2]]),
        ((4, 8), [[0, 1], [0, 2], [1, 1], [1, 2]]),
    ],
)
def test_a_3x3_convolution_reaches_one_pixel_past_its_tile(pixel: tuple[int, int], tiles: list[list[int]]) -> None:
    mask = np.zeros((16, 16), np.bool_)
    mask[pixel] = True
    np.testing.assert_array_equal(np.argwhere(active_tiles(mask)), tiles)


def test_stride_2_looks_one_pixel_behind_its_tile_only() -> None:
    for y, rows in ((7, [0]), (8, [0, 1]), (9, [1])):
        mask = np.zeros((16, 16), np.bool_)
        mask[y] = True
        active = active_tiles(mask, stride=2, padding=(0, 1))
        assert active.shape == (2, 2)
        assert np.flatnonzero(active[:, 0]).tolist() == rows


def test_an_image_smaller_than_the_kernel_has_no_tiles() -> None:
    assert active_tiles(np.ones((2, 5), np.bool_), kernel=3, padding=(0, 0)).shape == (0, 1)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=6)))
def test_list_and_grid_are_inverse(active: np.ndarray) -> None:
    tiles, grid = tile_list(active), tile_grid(active)
    assert tiles.dtype == grid.dtype == np.int32
    assert tiles.shape == (active.sum(), 3) and grid.shape == (active if active.ndim == 3 else active[None]).shape
    np.testing.assert_array_equal(grid[tuple(tiles.T)], np.arange(len(tiles)))
    assert (grid >= 0).sum() == len(tiles)
    assert grid.min(initial=0) >= -1


def test_arguments_out_of_range() -> None:
    mask = np.zeros((4, 4), np.bool_)
    for wrong in ({"tile": 0}, {"kernel": 0}, {"stride": 0}, {"padding": (-1, 1)}):
        with pytest.raises(SigeError, match="at least 1"):
            active_tiles(mask, **wrong)
    with pytest.raises(SigeError, match="rows, columns"):
        tile_list(np.zeros(3, np.bool_))
