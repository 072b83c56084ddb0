"""Fills: the region of an edit is invented, whatever was painted there."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.editing import EditSession
from sige_mlx.editing.images import to_model
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from tests.tiny import PD_CONFIG, SIZE, original, painted, tiny_engine

STEPS = 3


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


def drawn() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:18, 10:22] = 255
    return mask


def open_session(engine: Engine, **options: Any) -> EditSession:
    return EditSession(engine, original(), **{"steps": STEPS, "fill": True, **options})


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm-solver"])
def test_what_was_painted_does_not_matter(engine: Engine, sampler: str) -> None:
    opened = open_session(engine, sampler=sampler)
    first, second = opened.edit(painted(), drawn()), opened.edit(255 - painted(), drawn())
    assert np.array_equal(first.image, second.image)
    inside = drawn() > 0
    assert np.array_equal(first.image[~inside], original()[~inside])
    assert not np.array_equal(first.image[inside], original()[inside])
    other = open_session(engine, sampler=sampler, seed=1).edit(original(), drawn()).image
    assert not np.array_equal(other, first.image)


def test_the_region_begins_as_noise_and_the_rest_is_the_original_at_every_level(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(engine)
    seen: list[mx.array] = []
    run = Engine.__call__
    monkeypatch.setattr(Engine, "__call__", lambda self, **given: (seen.append(given["x"]), run(self, **given))[1])
    opened.dense(painted(), drawn())
    inside, x0 = drawn() > 0, to_model(original())
    noise = np.asarray(opened.denoising.noised(mx.zeros_like(x0), opened.denoising.levels[0], mx.ones_like(x0)))
    assert len(seen) == STEPS and 0.99 < noise.min() <= 1
    assert np.asarray(seen[0])[0][inside].std() == pytest.approx(1, abs=0.1)
    for x, level in zip(seen, opened.denoising.levels, strict=True):
        expected = np.asarray(opened.denoising.noised(x0, level, opened._noise))
        assert np.array_equal(np.asarray(x)[0][~inside], expected[0][~inside])


def test_an_edit_is_close_to_the_dense_run(engine: Engine) -> None:
    opened = open_session(engine)
    result, dense = opened.edit(original(), drawn()), opened.dense(original(), drawn())
    off = np.abs(result.image.astype(int) - dense.image)[result.mask].mean()
    assert off < 0.2 * np.abs(dense.image.astype(int) - original())[result.mask].mean()


def test_distilled_networks_fill_in_all_their_steps() -> None:
    opened = EditSession(tiny_engine(config=PD_CONFIG), original(), steps=None, fill=True)
    assert opened.denoising.strength == 1 and opened.steps == 8
    assert opened.edit(original(), drawn()).steps == 8


def test_a_fill_has_strength_1(engine: Engine) -> None:
    assert open_session(engine, strength=1).denoising.strength == 1
    for strength in (0.5, 0.999):
        with pytest.raises(SigeError, match=f"^the strength is {strength}: a fill begins from noise alone"):
            open_session(engine, strength=strength)
    with pytest.raises(SigeError, match=r"^the strength is True"):
        open_session(engine, strength=True)
