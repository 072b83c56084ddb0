"""Sessions given pictures as people have them: files, Pillow images and arrays, with profiles and transparency."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession, TranslationSession, save_image
from sige_mlx.engine import Engine
from tests.editing.test_colour import off, p3_in_srgb
from tests.files import display_p3
from tests.tiny import SIZE, TRANSLATION_CONFIG, original, painted, tiny_engine, translation_engine

STEPS = 2


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


def open_session(engine: Engine) -> EditSession:
    return EditSession(engine, original(), steps=STEPS)


def test_pictures_of_every_kind_mean_the_same(engine: Engine, tmp_path: Path) -> None:
    drawn = np.zeros((SIZE, SIZE), np.uint8)
    drawn[6:15, 8:18] = 255
    for name, pixels in (("a", original()), ("b", painted()), ("m", drawn)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    expected = open_session(engine).edit(painted(), drawn).image
    frozen = [array.copy() for array in (original(), painted(), drawn)]
    for array in frozen:
        array.flags.writeable = False
    paths = [tmp_path / f"{name}.png" for name in "abm"]
    kinds = [
        paths,
        [str(path) for path in paths],
        [os.fsencode(path) for path in paths],
        [Image.open(path) for path in paths],
        [mx.array(array) for array in frozen],
        [np.asfortranarray(array) for array in frozen],
        [np.flip(np.flip(array, 0).copy(), 0) for array in frozen],
        frozen,
    ]
    for before, after, mask in kinds:
        opened = EditSession(engine, before, steps=STEPS)
        assert np.array_equal(opened.edit(after, mask).image, expected)
        assert np.array_equal(opened.dense(after, mask).image, open_session(engine).dense(painted(), drawn).image)
        assert np.array_equal(opened.mask(after, mask), drawn > 0)


@pytest.mark.parametrize("opener", [str, Image.open])
def test_orientation_is_obeyed_however_a_picture_comes(engine: Engine, tmp_path: Path, opener: Any) -> None:
    """As phones save photographs: turned by a quarter, and a tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, pixels in (("a", original()), ("b", painted())):
        turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
        turned.save(tmp_path / f"{name}.png", exif=exif)
    opened = EditSession(engine, opener(tmp_path / "a.png"), steps=STEPS)
    assert np.array_equal(opened.original, original())
    assert np.array_equal(opened.edit(opener(tmp_path / "b.png")).image, open_session(engine).edit(painted()).image)


def test_a_photograph_in_display_p3_keeps_its_colours(engine: Engine, tmp_path: Path) -> None:
    """The network sees sRGB. In the file, unedited pixels are the photograph's to the bit, edited ones in its profile:
    side by side in a viewer that knows profiles, the two are one picture."""
    for name, pixels in (("a", original()), ("b", painted())):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", icc_profile=display_p3())
    opened = EditSession(engine, tmp_path / "a.png", steps=STEPS)
    result = opened.edit(tmp_path / "b.png")
    save_image(result.picture, tmp_path / "c.png")
    written = Image.open(tmp_path / "c.png")
    assert written.info["icc_profile"] == display_p3()
    assert np.array_equal(np.asarray(written)[~result.mask], original()[~result.mask])
    assert off(p3_in_srgb(np.asarray(written)), result.image) <= 1
    assert off(p3_in_srgb(original()), opened.original) <= 1
    by_hand = EditSession(engine, opened.original, steps=STEPS)
    rendered = by_hand.edit(opened.reader.edited(tmp_path / "b.png", opened.source)).image
    assert np.abs(result.image.astype(int) - rendered).mean() < 0.1  # but for what 8 bits lose
    opened.commit()
    assert np.array_equal(np.asarray(opened.source.image), np.asarray(written))


def test_transparency_is_kept(engine: Engine, tmp_path: Path) -> None:
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[:, :6] = 60
    for name, pixels in (("a", original()), ("b", painted())):
        Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / f"{name}.png")
    result = EditSession(engine, tmp_path / "a.png", steps=STEPS).edit(tmp_path / "b.png")
    written = np.asarray(result.picture)
    assert np.array_equal(written[..., 3], alpha)
    assert np.array_equal(written[~result.mask][:, :3], original()[~result.mask])
    assert not result.mask[:, :6].any()


def test_what_a_user_should_know_is_in_the_result(engine: Engine, tmp_path: Path) -> None:
    assert open_session(engine).edit(painted()).notes == ()
    Image.fromarray(painted()).save(tmp_path / "b.jpg", quality=50)
    (note,) = open_session(engine).edit(tmp_path / "b.jpg").notes
    assert "JPEG changes every pixel" in note


def test_translations_have_the_originals_profile_and_transparency(tmp_path: Path) -> None:
    size = TRANSLATION_CONFIG.image_size
    alpha = np.full(size, 255, np.uint8)
    alpha[:8, :6] = 0
    for name, pixels in (("a", original(*size)), ("b", painted(*size))):
        Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / f"{name}.png", icc_profile=display_p3())
    opened = TranslationSession(translation_engine(), tmp_path / "a.png")
    result = opened.edit(tmp_path / "b.png")
    written = np.asarray(result.picture)
    assert np.array_equal(written[..., 3], alpha)
    assert result.picture.info["icc_profile"] == display_p3()
    seen = alpha == 255
    assert np.abs(p3_in_srgb(written[..., :3])[seen] - result.image[seen]).mean() < 1
    opened.commit()
    assert opened.edit(tmp_path / "b.png").edited == 0
