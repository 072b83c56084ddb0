"""Which part of a picture a network sees, and what it sees of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.windows import MARGIN, Window, around, over, placed
from sige_mlx.editing.windows import given as asked
from sige_mlx.errors import SigeError

NET = (32, 48)
SIDES = st.integers(1, 400)


@st.composite
def edits(draw: st.DrawFn) -> tuple[tuple[int, int], Box]:
    """The size of a picture, and a part of it."""
    picture = draw(SIDES), draw(SIDES)
    spans = []
    for side in picture:
        start = draw(st.integers(0, side - 1))
        spans.append((start, draw(st.integers(1, side - start))))
    (top, height), (left, width) = spans
    return picture, Box(top, left, height, width)


@settings(max_examples=300)
@given(edits(), st.integers(0, 20))
def test_a_window_shows_the_edit_and_what_is_around_it(drawn: tuple[tuple[int, int], Box], margin: int) -> None:
    picture, edit = drawn
    window = around(edit, picture, NET, margin)
    assert placed(window.box, picture, NET) == window == around(edit, picture, NET, margin)
    assert window.scale == int(window.scale) and window.box.size == tuple(n * window.scale for n in NET)
    grown = round(max(min(NET) // MARGIN, margin) * window.scale)
    wanted = Box(edit.top - grown, edit.left - grown, edit.height + 2 * grown, edit.width + 2 * grown)
    wanted = wanted.overlap(Box(0, 0, *picture))
    assert wanted.overlap(window.part) == wanted


@settings(max_examples=300)
@given(edits())
def test_no_smaller_scale_would_do(drawn: tuple[tuple[int, int], Box]) -> None:
    picture, edit = drawn
    window = around(edit, picture, NET)
    if window.scale > 1:
        smaller = next(s for s in (8, 6, 4, 3, 2, 1) if s < window.scale)
        grown = round(min(NET) // MARGIN * smaller)
        spans = [
            min(stop + grown, side) - max(start - grown, 0)
            for (start, stop), side in zip((edit.rows, edit.columns), picture, strict=True)
        ]
        assert any(span > n * smaller for span, n in zip(spans, NET, strict=True))


def test_edits_near_each_other_have_one_window() -> None:
    """A brush that goes over a picture of 40 megapixels: of a hundred places in one neighbourhood few windows."""
    rng, picture, size = np.random.default_rng(0), (5000, 8000), (256, 256)
    places = rng.integers((2000, 3000), (2128, 3128), (100, 2))
    windows = {around(Box(int(y), int(x), 30, 30), picture, size) for y, x in places}
    assert len(windows) <= 9 and {window.scale for window in windows} == {1}


def test_a_picture_of_the_networks_size_has_one_window() -> None:
    for edit in Box(0, 0, 1, 1), Box(31, 47, 1, 1), Box(0, 0, *NET):
        assert around(edit, NET, NET) == over(NET, NET) and over(NET, NET).trivial


def test_a_scale_that_is_asked_for() -> None:
    edit = Box(100, 100, 40, 40)
    assert around(edit, (900, 900), NET, scale=5).scale == 5
    assert around(edit, (900, 900), NET, scale=1.5).box.size == (48, 72)
    assert around(edit, (900, 900), NET, scale=4000) == over((900, 900), NET)
    with pytest.raises(SigeError, match="an edit of 40×40 pixels is larger than a window of scale 1"):
        around(edit, (900, 900), NET, scale=1)
    with pytest.raises(SigeError, match=r"the scale is 0\.5"):
        around(edit, (900, 900), NET, scale=0.5)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ((0, 0), "it must be X, Y and SIZE"),
        ((0, 0, 20), "SIZE of the window is 20: it must be from 48"),
        ((90, 0, 48), r"a window of 48×32 pixels from x = 90, y = 0 does not fit: .* the picture, which is 100×80"),
        ((0, 60, 48), "does not fit"),
        ((100, 0, 48), "X of the window is 100: it must be from 0 to 99"),
        ((0, -1, 48), "Y of the window is -1"),
        ((0, 0, 1.5), "SIZE of the window is 1.5"),
        ((0, 0, 4000), "does not fit"),
    ],
)
def test_windows_that_do_not_fit(window: tuple[int, int, int], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        asked(window, (80, 100), NET)


def test_a_window_may_reach_beyond_a_picture_that_is_smaller() -> None:
    assert asked((0, 0, 48), (20, 30), NET).part == Box(0, 0, 20, 30)


def pixels(*size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)


def test_at_scale_1_a_window_shows_the_pixels_themselves() -> None:
    picture, window = pixels(80, 100), Window(Box(7, 9, *NET), (80, 100), NET)
    assert np.array_equal(window.seen(picture), picture[7:39, 9:57])
    assert np.array_equal(window.nearest(picture[..., 0]), picture[7:39, 9:57, 0])
    made = pixels(*NET)
    assert np.array_equal(window.carried(made, picture[7:39, 9:57], picture[7:39, 9:57]), made)


@pytest.mark.parametrize("box", [Box(3, 4, 64, 96), Box(0, 1, 80, 120), Box(5, 2, 33, 49), Box(2, 0, 96, 144)])
def test_at_a_larger_scale_it_shows_means_of_blocks(box: Box) -> None:
    """Of equal ones and others, in whole levels, halves upwards."""
    picture, window = pixels(100, 150), Window(box, (100, 150), NET)
    rows, columns = (np.arange(n + 1) * side // n for n, side in zip(NET, box.size, strict=True))
    shown, seen = box.of(picture).astype(np.float64), window.seen(picture)
    for y, x in np.ndindex(*NET):
        block = shown[rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
        assert np.array_equal(seen[y, x], np.floor(block.mean((0, 1)) + 0.5 + 1e-9))


def test_a_picture_goes_on_mirrored() -> None:
    picture = pixels(20, 5)
    shown = over((20, 5), NET).seen(picture)
    assert np.array_equal(shown[:20, :5], picture)
    assert np.array_equal(shown[20:32, :5], picture[:7:-1]) and np.array_equal(shown[:20, 5:10], picture[:, ::-1])


@settings(max_examples=50)
@given(edits(), st.integers(0, 2**32))
def test_what_changes_is_under_the_mask_at_every_scale(drawn: tuple[tuple[int, int], Box], seed: int) -> None:
    picture, edit = drawn
    window, rng = around(edit, picture, NET), np.random.default_rng(seed)
    before = rng.integers(0, 256, (*picture, 3)).astype(np.uint8)
    mask = np.zeros(picture, np.bool_)
    edit.of(mask)[...] = rng.random(edit.size) < 0.3
    after = np.where(mask[..., None], 255 - before, before)
    touched = window.touched(mask)
    assert np.array_equal(touched, window.touched(edit.of(mask), edit))
    assert not (window.seen(before) != window.seen(after))[~touched].any()
    assert window.spread(touched)[window.part.of(mask)].all()
    assert touched.any() == mask.any()


def test_detail_stays_that_was_not_seen() -> None:
    """A network that darkens what it sees darkens the picture, whose stripes are finer than what it sees."""
    picture = np.full((64, 96, 3), 100, np.uint8)
    picture[:, ::2] = 180
    window = over((64, 96), NET)
    seen = window.seen(picture)
    assert window.scale == 2 and (seen == 140).all()
    assert np.array_equal(window.carried(seen - 40, seen, picture), picture - 40)
    assert (window.carried(seen - 40) == 100).all()


def test_detail_of_an_edit_fades_where_much_is_changed() -> None:
    """The outline of a stroke that the network makes something else of is no line in the result."""
    window, region = over((64, 96), NET), np.ones((64, 96), np.bool_)
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[:, 47:] = 200
    seen = window.seen(picture)
    assert np.array_equal(window.carried(seen, seen, picture, picture, region), picture)
    other = np.full_like(seen, 120)
    assert (window.carried(other, seen, picture, picture, region) == 120).all()
    assert len(np.unique(window.carried(other, seen, picture))) > 1


def test_a_result_of_a_larger_scale_comes_in_softly() -> None:
    window, region = over((64, 96), NET), np.zeros((64, 96), np.bool_)
    region[10:40, 10:60] = True
    outside, made = np.zeros((64, 96, 3), np.uint8), np.full((*NET, 3), 200, np.uint8)
    found = window.carried(made, around=outside, region=region)[20, :, 0]
    assert found[9:16].tolist() == [0, 40, 80, 120, 160, 200, 200]
    assert window.carried(made, around=outside, region=np.ones_like(region)).min() == 200  # no border is inside


def test_the_extent_of_a_mask() -> None:
    mask = np.zeros((9, 12), np.bool_)
    assert extent(mask) is None
    mask[3, 4] = mask[5, 8] = True
    assert extent(mask) == Box(3, 4, 3, 5)
