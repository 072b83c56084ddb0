"""Sessions of pictures under networks that translate them."""

import math

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession, TranslationSession
from sige_mlx.editing.images import from_model, to_model
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from tests.tiny import TRANSLATION_CONFIG, label_engine, tiny_engine, translation_engine
from tests.tiny import original as square
from tests.tiny import painted as square_painted

SIZE = TRANSLATION_CONFIG.image_size


def original() -> np.ndarray:
    return square(*SIZE)


def painted() -> np.ndarray:
    return square_painted(*SIZE)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return translation_engine()


def open_session(engine: Engine) -> TranslationSession:
    return TranslationSession(engine, original())


def test_the_recorded_picture_is_the_networks(engine: Engine) -> None:
    opened = open_session(engine)
    assert opened.image is None
    expected = from_model(engine(x=to_model(original())))
    assert np.array_equal(opened.record(), expected) and np.array_equal(opened.image, expected)
    assert np.array_equal(opened.dense(painted()).image, from_model(engine(x=to_model(painted()))))


def test_the_mask_is_the_dilated_difference_beyond_a_grey_level(engine: Engine) -> None:
    picture = painted()
    picture[0, 0] ^= 1  # as a lossy format might
    stroke = np.zeros(SIZE, np.bool_)
    stroke[8:14, 10:16] = True
    opened = open_session(engine)
    assert np.array_equal(opened.mask(picture), dilate(stroke, 1))
    assert np.array_equal(opened.edit(picture).image, opened.edit(painted()).image)  # it is not let in either


def test_a_drawn_mask_lets_nothing_else_in(engine: Engine) -> None:
    opened = open_session(engine)
    drawn = np.zeros(SIZE, np.uint8)
    drawn[8:14, 10:13] = 255
    half = np.where(drawn[..., None] > 0, painted(), original())
    result = opened.edit(painted(), drawn)
    assert np.array_equal(result.mask, drawn > 0)
    assert np.array_equal(result.image, opened.edit(half, drawn).image)
    assert np.array_equal(opened.dense(painted(), Image.fromarray(drawn)).image, opened.dense(half).image)


def test_an_edit_keeps_the_recorded_statistics() -> None:
    """The picture is no more than the same network's with every tile active: all anew, normalised as recorded."""
    opened = TranslationSession(translation_engine(dense_from=math.inf), original())
    result = opened.edit(painted())
    everything = opened.edit(painted(), np.full(SIZE, 255, np.uint8))
    assert np.abs(result.image.astype(int) - everything.image)[result.mask].mean() < 1
    fresh = TranslationSession(translation_engine(statistics="fresh head"), original())
    assert not np.array_equal(fresh.edit(painted()).image, result.image)


def test_an_edit_of_everything_is_the_dense_pass(engine: Engine) -> None:
    """Tiles would take no less time then, and recorded statistics be less exact."""
    opened = open_session(engine)
    result = opened.edit(painted(), np.full(SIZE, 255, np.uint8))
    assert np.array_equal(result.image, opened.dense(painted()).image)
    assert result.macs == result.dense_macs and not result.tiles


def test_nearly_everything_leaves_the_rest_recorded(engine: Engine) -> None:
    opened = open_session(engine)
    mask = np.full(SIZE, 255, np.uint8)
    mask[-4:, -4:] = 0
    result = opened.edit(painted(), mask)
    assert result.macs == result.dense_macs
    outside = ~engine.lowered.tiling(mask > 0).at(SIZE).pixels()[0]
    assert np.array_equal(result.image[outside], opened.record()[outside])


def test_the_unchanged_picture_under_a_white_mask_is_the_recorded_one(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(original(), np.full(SIZE, 255, np.uint8))
    assert result.mask.all()
    assert np.abs(result.image.astype(int) - opened.record()).max() <= 1


def test_numbers_of_an_edit(engine: Engine) -> None:
    result = open_session(engine).edit(painted())
    assert result.steps == 1 and result.dense_macs == engine.macs
    assert 0 < result.macs < result.dense_macs
    assert set(result.tiles) == {(32, 48), (16, 24), (8, 12)}
    assert result.seconds > 0
    assert result.dense_seconds is not None and result.dense_seconds > 0


def test_an_empty_edit_is_the_originals_translation(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(original())
    assert np.array_equal(result.image, opened.record())
    assert (result.macs, result.edited) == (0, 0)


def test_commit_makes_the_edited_picture_the_original(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(painted())
    opened.commit()
    assert opened.pending is None and np.array_equal(opened.record(), result.image)
    assert np.array_equal(opened.original, painted())
    opened.refresh()
    assert np.array_equal(opened.record(), from_model(engine(x=to_model(painted()))))
    assert opened.edit(painted()).edited == 0


def test_the_callers_arrays_stay_the_callers(engine: Engine) -> None:
    mine = original()
    opened = TranslationSession(engine, mine)
    mine[:] = 0
    assert np.array_equal(opened.original, original())
    theirs = painted()
    opened.edit(theirs)
    theirs[:] = 0
    opened.commit()
    assert np.array_equal(opened.original, painted())


def test_pictures_of_another_size_than_the_original(engine: Engine) -> None:
    with pytest.raises(SigeError, match=r"the edited image is 32×32 pixels"):
        open_session(engine).edit(square())
    with pytest.raises(SigeError, match="the mask is 32×32"):
        open_session(engine).edit(painted(), np.zeros((32, 32), np.uint8))


def test_networks_of_another_kind(engine: Engine) -> None:
    with pytest.raises(SigeError, match=r"^this network takes x, t: one that translates takes a picture alone$"):
        TranslationSession(tiny_engine(), square())
    with pytest.raises(SigeError, match=r"^this network denoises no pictures"):
        EditSession(engine, original())
    with pytest.raises(SigeError, match="reads 36 channels and writes 3"):
        TranslationSession(label_engine(), original())
