"""Edits of a wanted size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.benchmark import blob_mask
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate


@given(
    height=st.integers(8, 80),
    width=st.integers(8, 80),
    percent=st.floats(0.1, 100),
    dilation=st.integers(0, 5),
    seed=st.integers(0, 9),
)
def test_the_dilated_mask_covers_the_wanted_share(
    height: int, width: int, percent: float, dilation: int, seed: int
) -> None:
    mask = blob_mask((height, width), percent, dilation, seed)
    assert mask.shape == (height, width) and mask.dtype == np.bool_
    one_more = 4 * dilation + 1  # pixels that one more pixel of the blob can add
    wanted = percent / 100 * mask.size
    assert mask.any() and mask.sum() <= max(wanted, 0) + one_more and mask.sum() >= wanted - one_more


@pytest.mark.parametrize("percent", [1.2, 5, 15])
def test_at_the_papers_sizes_the_share_is_within_a_twentieth(percent: float) -> None:
    assert blob_mask((256, 256), percent, 5).mean() == pytest.approx(percent / 100, rel=0.05)


def test_larger_edits_contain_smaller_ones_of_the_same_seed() -> None:
    small, large = (blob_mask((64, 96), percent, 2, seed=3) for percent in (2, 20))
    assert (large & small == small).all() and large.sum() > small.sum()


def test_the_seed_says_where_and_the_same_seed_says_the_same() -> None:
    one, same, other = (blob_mask((64, 64), 5, 1, seed) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_the_mask_is_a_dilation() -> None:
    mask = blob_mask((64, 64), 0.01, 3)
    speck = np.zeros((64, 64), np.bool_)
    speck[tuple(np.round(np.argwhere(mask).mean(axis=0)).astype(int))] = True
    assert (mask == dilate(speck, 3)).all()


@pytest.mark.parametrize("seed", [-1, 1.5, None, 2**64])
def test_seeds_that_are_none(seed: int) -> None:
    with pytest.raises(SigeError, match=r"^the seed is .*: it must be .*from 0 to 2\^64 - 1$"):
        blob_mask((64, 64), 5, seed=seed)


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_impossible_sizes_are_refused(percent: float) -> None:
    with pytest.raises(SigeError, match="above 0 and at most 100"):
        blob_mask((16, 16), percent)
