"""Strokes, as the pixels that they cover."""

import numpy as np
import pytest

from sige_mlx.app import protocol
from sige_mlx.app.painting import BLOCK, Painting, merged
from sige_mlx.errors import SigeError
from tests.app.talking import stroke

RED = (255, 0, 0)
SIZE = (96, 128)


def painted(*strokes: bytes, canvas: np.ndarray | None = None, original: np.ndarray | None = None) -> np.ndarray:
    """A black canvas, or a given one, on which the parts of one stroke are painted."""
    canvas = np.zeros((*SIZE, 3), np.uint8) if canvas is None else canvas
    painting = Painting(canvas, np.zeros_like(canvas) if original is None else original)
    for part in strokes:
        painting.add(protocol.stroke(part))
    return canvas


def distance(x: float, y: float) -> np.ndarray:
    """Of the middles of all pixels from a point."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return np.hypot(columns - x, rows - y)


def test_a_dot_is_a_disc() -> None:
    red = painted(stroke([(40, 50)], RED, radius=9))[..., 0]
    off = distance(40, 50)
    assert (red[off <= 8.5] == 255).all() and (red[off >= 9.5] == 0).all()
    assert red.sum() / 255 == pytest.approx(np.pi * 81, rel=0.01)


def test_a_line_is_as_wide_as_the_brush_and_goes_from_the_first_point_to_the_last() -> None:
    red = painted(stroke([(20, 30), (90, 80), (100, 30)], RED, protocol.LINE, 5))[..., 0]
    assert (red[26:34, 20:100] == 255).all() and red[:24].sum() == red[36:].sum() == 0


def test_pressure_is_the_share_of_the_radius() -> None:
    red = painted(stroke([(20, 48, 0.2), (110, 48, 1)], RED, radius=20))[..., 0]
    assert red[:, 30].sum() / 255 == pytest.approx(2 * 20 * (0.2 + 0.8 * 10.5 / 90), abs=1.5)
    assert red[:, 100].sum() / 255 == pytest.approx(2 * 20 * (0.2 + 0.8 * 80.5 / 90), abs=1.5)


def test_a_soft_brush_falls_off_over_the_rest_of_its_radius() -> None:
    red = painted(stroke([(64, 48)], RED, radius=40, hardness=127))[48, :, 0].astype(int)
    assert (red[64 - 19 : 64 + 19] == 255).all()
    assert (np.diff(red[64:108]) <= 0).all() and 0.4 < red[64 + 30] / 255 < 0.6 and red[107] == 0


def test_a_stroke_that_crosses_itself_covers_no_more_than_once() -> None:
    to_and_fro = [(20, 48), (100, 48)] * 3
    soft = {"value": RED, "radius": 12, "hardness": 0}
    assert np.array_equal(painted(stroke(to_and_fro, **soft)), painted(stroke(to_and_fro[:2], **soft)))


def test_parts_of_a_stroke_are_the_stroke() -> None:
    rng = np.random.default_rng(0)
    points = [(float(x), float(y), float(p)) for x, y, p in rng.uniform((0, 0, 0.2), (128, 96, 1), (40, 3))]
    whole = painted(stroke(points, RED, hardness=100, radius=7))
    parts = [stroke(points[i : i + 7], RED, hardness=100, radius=7) for i in range(0, 40, 7)]
    assert np.abs(painted(*parts).astype(int) - whole).max() <= 1


def test_an_eraser_brings_the_original_back() -> None:
    original = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    canvas = 255 - original
    painted(stroke([(64, 48)], tool=protocol.ERASER, radius=20), canvas=canvas, original=original)
    off = distance(64, 48)
    assert np.array_equal(canvas[off < 19], original[off < 19])
    assert np.array_equal(canvas[off > 21], 255 - original[off > 21])


def test_labels_are_never_mixed() -> None:
    canvas = np.full(SIZE, 2, np.uint8)
    painted(stroke([(10, 10), (90, 70)], (9,), radius=7, hardness=0), canvas=canvas, original=canvas.copy())
    assert set(np.unique(canvas)) == {2, 9}


def test_a_rectangle_has_whole_pixels() -> None:
    red = painted(stroke([(30.4, 50.2), (99, 9), (10.6, 20.7)], RED, protocol.BOX))[..., 0]
    wanted = np.zeros(SIZE, np.uint8)
    wanted[21:50, 11:30] = 255
    assert np.array_equal(red, wanted)


def test_a_lasso_is_filled() -> None:
    red = painted(stroke([(20, 20), (100, 20), (60, 80)], RED, protocol.LASSO))[..., 0]
    assert red[30, 60] == red[70, 60] == 255 and red[70, 30] == red[10, 60] == 0
    assert red.sum() / 255 == pytest.approx(80 * 60 / 2, rel=0.05)


@pytest.mark.parametrize("tool", range(5))
def test_strokes_beside_the_picture_are_fine(tool: int) -> None:
    assert not painted(stroke([(-500, -500), (-400, -300), (-450, -320)], RED, tool)).any()
    white = np.full((*SIZE, 3), 255, np.uint8)
    assert painted(stroke([(-500, 40), (64, 48), (900, 60)], RED, tool, radius=9), canvas=white).min() == 0


def test_points_far_away_take_no_time_and_change_nothing_within() -> None:
    far = painted(stroke([(-1e6, 48), (1e6, 48)] * 500, RED, radius=5))
    near = painted(stroke([(-20, 48), (150, 48)], RED, radius=5))
    assert np.array_equal(far, near)
    assert not painted(stroke([(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)], RED, radius=5)).any()


def test_a_stroke_that_would_take_minutes_is_refused() -> None:
    canvas = np.zeros((3000, 4000, 3), np.uint8)
    scribble = [(0, 0), (4000, 3000)] * 9000
    with pytest.raises(SigeError, match="too many times over"):
        painted(stroke(scribble, RED, radius=200), canvas=canvas)
    assert not canvas.any()


def test_what_a_stroke_covered_is_taken_back_whole() -> None:
    canvas = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    before = canvas.copy()
    painting = Painting(canvas, before)
    painting.add(protocol.stroke(stroke([(5, 5), (120, 90)], RED, radius=4)))
    assert not np.array_equal(canvas, before)
    for patch in painting.patches():
        patch.box.of(canvas)[...] = patch.kept.array
    assert np.array_equal(canvas, before)


def test_a_long_stroke_keeps_its_surroundings_and_not_the_picture() -> None:
    canvas = np.zeros((3000, 4000, 3), np.uint8)
    painting = Painting(canvas, canvas.copy())
    boxes = painting.add(protocol.stroke(stroke([(0, 0), (4000, 3000)], RED, radius=10)))
    assert canvas[1500, 2000, 0] == 255
    assert sum(box.height * box.width for box in boxes) < canvas[..., 0].size / 20
    assert sum(patch.nbytes for patch in painting.patches()) < canvas.nbytes / 12


def test_blocks_are_merged_into_rectangles_that_cover_them_once() -> None:
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 1.0):
        blocks = rng.random((9, 13)) < share
        size = (9 * BLOCK - 5, 13 * BLOCK - 7)
        covered = np.zeros(size, int)
        for box in merged(blocks, size):
            assert box.within(size)
            box.of(covered)[...] += 1
        wanted = np.repeat(np.repeat(blocks, BLOCK, 0), BLOCK, 1)[: size[0], : size[1]]
        assert covered.max() == 1 and (covered[wanted] == 1).all()
