import numpy as np
import pytest

from sige_mlx.app.flood import area


def by_hand(alike: np.ndarray, x: int, y: int) -> np.ndarray:
    """The same, one pixel after another."""
    found, todo = np.zeros_like(alike), [(y, x)]
    while todo:
        row, column = todo.pop()
        if 0 <= row < alike.shape[0] and 0 <= column < alike.shape[1] and alike[row, column] and not found[row, column]:
            found[row, column] = True
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_one_finds_pixel_by_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alike = rng.random(rng.integers(1, 40, 2)) < rng.uniform(0.3, 0.9)
    for y, x in rng.permutation(np.argwhere(alike))[:5]:
        assert np.array_equal(area(alike, int(x), int(y)), by_hand(alike, int(x), int(y)))


def test_a_spiral_is_one_area() -> None:
    alike = np.zeros((41, 41), bool)
    top, left, bottom, right = 0, 0, 40, 40
    while right - left > 3:
        alike[top, left : right + 1] = alike[top : bottom + 1, right] = alike[bottom, left : right + 1] = True
        alike[top + 2 : bottom + 1, left] = True
        alike[top + 2, left : left + 3] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    assert np.array_equal(area(alike, 0, 0), by_hand(alike, 0, 0)) and area(alike, 0, 0).sum() > 400


def test_corners_do_not_connect() -> None:
    assert area(np.eye(5, dtype=bool), 2, 2).sum() == 1
