"""Baselines: a part of the picture alone, run and pasted."""

import numpy as np
import pytest

from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.baselines import METHODS, Box, Method, baseline, crop_box, patch_box
from sige_mlx.editing.session import EditSession as Session
from sige_mlx.errors import SigeError
from tests.tiny import (
    SIZE,
    TRANSLATION_CONFIG,
    edited_labels,
    instances,
    label_engine,
    labels,
    original,
    painted,
    tiny_engine,
    translation_engine,
)


def marked(size: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize(
    ("extent", "patch", "crop"),
    [
        ((8, 10, 3, 20), Box(5, 8, 8, 24), Box(0, 8, 24, 24)),
        ((0, 0, 1, 1), Box(0, 0, 8, 8), Box(0, 0, 8, 8)),
        ((31, 63, 1, 1), Box(24, 56, 8, 8), Box(24, 56, 8, 8)),
        ((8, 8, 8, 8), Box(8, 8, 8, 8), Box(8, 8, 8, 8)),
        ((4, 0, 2, 60), Box(1, 0, 8, 64), Box(0, 0, 32, 64)),
    ],
)
def test_parts_hold_the_mask_and_fit_the_network(extent: tuple[int, int, int, int], patch: Box, crop: Box) -> None:
    mask = marked((32, 64), *extent)
    assert patch_box(mask, 8) == patch and crop_box(mask, 8) == crop
    for box in (patch, crop):
        assert box.of(mask).sum() == mask.sum()


def test_an_empty_mask_has_no_part() -> None:
    with pytest.raises(SigeError, match=r"^nothing is edited"):
        patch_box(np.zeros((8, 8), np.bool_), 4)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_whole_mask_it_is_the_dense_pass(method: Method) -> None:
    white = np.full((SIZE, SIZE), 255, np.uint8)
    for sampler in ("ddim", "ddpm"):
        opened = EditSession(tiny_engine(), original(), steps=2, sampler=sampler)
        found = baseline(opened, method, painted(), white)
        assert found.box == Box(0, 0, SIZE, SIZE) and found.macs == 2 * opened.engine.macs
        assert np.array_equal(found.image, opened.dense(painted(), white).image)
    size = TRANSLATION_CONFIG.image_size
    translated = TranslationSession(translation_engine(), original(*size))
    white = np.full(size, 255, np.uint8)
    found = baseline(translated, method, painted(*size), white)
    assert np.array_equal(found.image, translated.dense(painted(*size), white).image)


@pytest.mark.parametrize("method", METHODS)
def test_it_sees_nothing_around_its_part_and_leaves_it_alone(method: Method) -> None:
    opened = EditSession(tiny_engine(), original(), steps=2)
    found = baseline(opened, method, painted())
    assert np.array_equal(found.image[~found.mask], original()[~found.mask])
    assert 0 < found.macs < 2 * opened.engine.macs and found.seconds > 0
    other, outside = original(), np.ones((SIZE, SIZE), np.bool_)
    found.box.of(outside)[:] = False
    other[outside] = 255 - other[outside]
    edited = np.where(opened.mask(painted())[..., None], painted(), other)
    again = baseline(EditSession(tiny_engine(), other, steps=2), method, edited)
    assert np.array_equal(again.image[found.mask], found.image[found.mask])


@pytest.mark.parametrize("method", METHODS)
def test_of_label_maps(method: Method) -> None:
    opened = LabelSession(label_engine(), labels(), instances())
    found = baseline(opened, method, edited_labels())
    assert np.array_equal(found.image[~found.mask], opened.record()[~found.mask])
    part = LabelSession(
        label_engine().resized((found.box.height, found.box.width)), *map(found.box.of, opened.original)
    )
    expected = part.dense(*map(found.box.of, opened.read(edited_labels()))).image
    inside = found.box.of(found.mask)
    assert inside.any() and np.array_equal(found.box.of(found.image)[inside], expected[inside])


@pytest.mark.parametrize("method", METHODS)
def test_a_single_pixel_has_a_part_that_the_network_can_read(method: Method) -> None:
    """Planes of one pixel cannot be reflected at their borders, as CycleGAN's are."""
    mask = marked(TRANSLATION_CONFIG.image_size, 9, 9, 1, 1).astype(np.uint8) * 255
    opened = TranslationSession(translation_engine(), original(*TRANSLATION_CONFIG.image_size))
    found = baseline(opened, method, painted(*TRANSLATION_CONFIG.image_size), mask)
    assert opened.engine.lowered.granularity == 4 and found.box[2:] == (8, 8)


def test_a_method_that_there_is_not() -> None:
    opened = Session(tiny_engine(), original(), steps=2)
    with pytest.raises(SigeError, match=r"^there is no baseline 'tiles': it must be patch or crop$"):
        baseline(opened, "tiles", painted())


def test_sessions_of_windows_have_none() -> None:
    large = np.tile(original(), (2, 2, 1))
    edited = large.copy()
    edited[4:8, 4:8] = 0
    with pytest.raises(SigeError, match="baselines are of pictures of the network's size, and this session sees"):
        baseline(EditSession(tiny_engine(), large, steps=1), "patch", edited)
