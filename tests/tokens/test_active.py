"""Active tokens of masks, and what is no set of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.tokens import ActiveTokens, TokenPlane


@given(y=st.integers(0, 63), x=st.integers(0, 95), dilation=st.integers(0, 3))
def test_a_pixel_touches_its_token_and_those_beside_it(y: int, x: int, dilation: int) -> None:
    mask = np.zeros((64, 96), bool)
    mask[y, x] = True
    touched = TokenPlane(4, 6).touched(mask, dilation)
    row, column = np.indices((4, 6))
    along = (row == y // 16) & (abs(column - x // 16) <= dilation)
    across = (column == x // 16) & (abs(row - y // 16) <= dilation)
    assert np.array_equal(touched, along | across)


def test_no_pixel_touches_nothing_and_all_touch_everything() -> None:
    plane = TokenPlane(4, 6)
    assert not plane.touched(np.zeros((64, 96), bool)).any()
    assert plane.touched(np.ones((64, 96), bool)).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(SigeError, match=r"the mask is bool \(64, 95\): it must be bool \(64, 96\)"):
        TokenPlane(4, 6).touched(np.zeros((64, 95), bool))
    with pytest.raises(SigeError, match="the mask is uint8"):
        TokenPlane(4, 6).touched(np.zeros((64, 96), np.uint8))


def test_rows_are_places_in_the_sequence() -> None:
    active = ActiveTokens([2, 1, 1], [5, 0], 4, 6)
    assert active.rows.tolist() == [1, 2, 4, 9]
    assert not active.complete and not active.empty
    assert ActiveTokens(np.ones(4, bool), np.ones(6, bool), 4, 6).complete


def test_a_text_token_is_always_active() -> None:
    assert ActiveTokens([], [3], 4, 6).rows.tolist() == [0, 7]
    assert ActiveTokens([], [], 4, 6).empty


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ([6], "from 6 to 6: there are 6, from 0 on"),
        ([-1, 2], "from -1 to 2"),
        ([0.5], "given as float64"),
        (np.ones(5, bool), "5 image tokens are said to be active or not: there are 6"),
    ],
)
def test_what_is_no_set_of_tokens_is_refused(image: object, said: str) -> None:
    with pytest.raises(SigeError, match=said):
        ActiveTokens([], image, 4, 6)  # type: ignore[arg-type]
