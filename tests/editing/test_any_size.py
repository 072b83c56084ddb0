"""Sessions of pictures that are larger or smaller than what the network sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import sige_mlx
from sige_mlx import zoo
from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.boxes import Box
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.pictures import open_image
from tests.tiny import (
    SIZE,
    label_engine,
    tiny_engine,
    translation_engine,
)

STEPS = 2


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


def photograph(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Soft hills with fine noise on them."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:height, :width]
    hills = [128 + 70 * np.sin(y / (9 + 4 * c) + c) * np.cos(x / (13 + 3 * c)) for c in range(3)]
    return np.clip(np.stack(hills, -1) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def stroke(picture: npt.NDArray[np.uint8], box: Box, seed: int = 0) -> npt.NDArray[np.uint8]:
    """The picture with a part painted over in a colour."""
    edited = picture.copy()
    box.of(edited)[...] = np.random.default_rng(seed).integers(0, 256, 3)
    return edited


def open_session(engine: Engine, picture: npt.NDArray[np.uint8], **options: Any) -> EditSession:
    return EditSession(engine, picture, steps=STEPS, **options)


def test_in_a_window_of_the_models_size_it_is_the_session_of_that_part(engine: Engine) -> None:
    """Twenty edits of twenty pictures: the pixels, the tiles, and the dense pass."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        picture = photograph(int(rng.integers(40, 120)), int(rng.integers(40, 120)), seed)
        height, width = picture.shape[:2]
        box = Box(int(rng.integers(height - 7)), int(rng.integers(width - 9)), 7, 9)
        edited = stroke(picture, box, seed)
        opened = open_session(engine, picture, seed=seed)
        result, dense = opened.edit(edited), opened.dense(edited)
        assert result.window and result.window.scale == 1
        shown = result.window.box
        native = open_session(engine, shown.of(picture), seed=seed)
        alone = native.edit(shown.of(edited))
        assert np.array_equal(shown.of(result.image), alone.image)
        assert np.array_equal(shown.of(result.mask), alone.mask)
        assert np.array_equal(shown.of(dense.image), native.dense(shown.of(edited)).image)
        assert (result.macs, result.tiles) == (alone.macs, alone.tiles)
        assert np.array_equal(result.image[~result.mask], picture[~result.mask])


@pytest.mark.parametrize(
    ("size", "box", "scale"),
    [
        ((200, 40), Box(5, 3, 10, 10), 1),  # tall
        ((40, 200), Box(3, 150, 10, 10), 1),  # wide
        ((20, 11), Box(3, 2, 5, 5), 1),  # smaller than what the network sees
        ((1, 1), Box(0, 0, 1, 1), 1),
        ((150, 150), Box(20, 30, 60, 40), 3),  # an edit that is larger
        ((150, 90), Box(0, 0, 150, 90), 5),  # all of it
    ],
)
def test_pictures_of_many_shapes(engine: Engine, size: tuple[int, int], box: Box, scale: float) -> None:
    picture = photograph(*size)
    result = open_session(engine, picture).edit(stroke(picture, box))
    assert result.window and result.window.scale == scale and result.image.shape == picture.shape
    assert np.array_equal(result.image[~result.mask], picture[~result.mask])
    assert result.mask[box.top : box.top + box.height, box.left : box.left + box.width].all()
    assert (result.image != picture).any()


def test_a_drawn_mask_is_kept_to_at_every_scale(engine: Engine) -> None:
    picture, mask = photograph(150, 150), np.zeros((150, 150), np.uint8)
    mask[31:90, 41:77] = 255
    mask[120, 120] = 255
    result = open_session(engine, picture).edit(picture, mask)
    assert result.window and result.window.scale > 1
    assert np.array_equal(result.mask, mask > 0)
    assert np.array_equal(result.image[mask == 0], picture[mask == 0])


def detail(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """What differs between neighbours in a row, well within the mask of the test below."""
    return np.diff(picture[30:120, 30:120].astype(np.float64), axis=1).ravel()


@pytest.mark.parametrize(("by", "fill", "likeness"), [(4, False, 0.8), (0, False, 1), (100, False, 0), (0, True, 0)])
def test_detail_survives_that_the_network_has_not_touched(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, by: int, fill: bool, likeness: float
) -> None:
    """Noise that a network cannot see at a larger scale is there after a redraw that makes the picture a little darker,
    and not where it was made quite another, or was filled."""
    picture, mask = photograph(150, 150) // 2 + 60, np.zeros((150, 150), np.uint8)
    mask[20:130, 20:130] = 255
    monkeypatch.setattr(EditSession, "_denoise", lambda self, what, stroke, *_: np.maximum(stroke.after, by) - by)
    result = open_session(engine, picture, fill=fill).edit(picture, mask)
    assert result.window and result.window.scale > 1
    assert np.corrcoef(detail(picture), detail(result.image))[0, 1] == pytest.approx(likeness, abs=0.25)
    inner = np.s_[30:120, 30:120]
    assert result.image[inner].mean() == pytest.approx(np.maximum(picture[inner].astype(int) - by, 0).mean(), abs=4)


def seam(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> float:
    """How much neighbours differ of which one is in the mask, on average."""
    found = []
    for axis in (0, 1):
        across = np.diff(mask.astype(np.int8), axis=axis) != 0
        found.append(np.abs(np.diff(picture.astype(np.int16), axis=axis))[across].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("box", [Box(60, 70, 12, 12), Box(40, 30, 60, 70)])
def test_the_seam_is_that_of_the_dense_result(engine: Engine, box: Box) -> None:
    picture = photograph(150, 170)
    opened, edited = open_session(engine, picture), stroke(picture, box, 3)
    result, dense = opened.edit(edited), opened.dense(edited)
    assert seam(result.image, result.mask) == pytest.approx(seam(dense.image, result.mask), rel=0.05)


@pytest.mark.slow
def test_trained_it_is_the_same() -> None:
    """By the model in the package, on the strip of the Earth that it has not seen: twenty edits in windows, of which
    those at its own size are the session of that part, and seams those of the dense pass."""
    model, seams = sige_mlx.load(zoo.DEFAULT), []
    strip = np.asarray(open_image(zoo.ASSETS / "held-out" / "picture.jpg"))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        height, width = (int(side) for side in rng.integers(10, 30 if seed < 14 else 200, 2))
        top, left = int(rng.integers(len(strip) - height)), int(rng.integers(strip.shape[1] - width))
        edited = stroke(strip, Box(top, left, height, width), seed)
        opened = model.session(strip, steps=5, seed=seed)
        result, dense = opened.edit(edited), opened.dense(edited)
        assert np.array_equal(result.image[~result.mask], strip[~result.mask])
        assert result.window and (result.window.scale == 1) == (seed < 14)
        seams.append((seam(result.image, result.mask), seam(dense.image, result.mask)))
        if result.window.scale == 1:
            shown = result.window.box
            native = model.session(shown.of(strip), steps=5, seed=seed).edit(shown.of(edited))
            assert np.array_equal(shown.of(result.image), native.image)
    ours, theirs = np.array(seams).T
    assert ours == pytest.approx(theirs, rel=0.05) and ours.sum() == pytest.approx(theirs.sum(), rel=0.02)


@pytest.mark.slow
def test_trained_in_sea_of_one_colour_seams_differ_by_less_than_half_a_level() -> None:
    """Where a window shows next to nothing, a stroke changes the statistics of its norms most. The seam, of some five
    levels of 255, is off by more than a twentieth then, though nobody sees it; the exact quality's is not."""
    strip = np.asarray(open_image(zoo.ASSETS / "held-out" / "picture.jpg"))
    for quality, most in (("balanced", 0.5), ("exact", 0.0)):
        model = sige_mlx.load(zoo.DEFAULT, quality=quality)
        for seed, box in ((25, Box(1559, 0, 20, 13)), (32, Box(1561, 250, 27, 13)), (64, Box(1569, 220, 20, 28))):
            opened, edited = model.session(strip, steps=5, seed=seed), stroke(strip, box, seed)
            result, dense = opened.edit(edited), opened.dense(edited)
            assert abs(seam(result.image, result.mask) - seam(dense.image, result.mask)) <= most


def test_later_edits_in_a_window_record_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photograph(150, 170)
    opened = open_session(engine, picture)
    first = opened.edit(stroke(picture, Box(60, 70, 8, 8)))
    assert opened.recorded == STEPS and opened.windows == (first.window,)
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    assert opened.edit(stroke(picture, Box(62, 71, 8, 8))).window == first.window
    opened.commit()
    assert opened.edit(stroke(opened.original, Box(62, 71, 8, 8), 5)).window == first.window


def test_before_an_edit_there_is_nothing_to_record(engine: Engine) -> None:
    opened = open_session(engine, photograph(150, 170))
    assert opened.window is None and opened.record_in_background().wait(10)
    opened.record()
    empty = opened.edit(opened.original)
    assert empty.edited == 0 and opened.recorded == 0 and np.array_equal(empty.image, opened.original)
    opened.look((20, 30, SIZE))
    assert opened.record_in_background().wait(60) and opened.recorded == STEPS


def test_a_window_or_a_scale_that_is_asked_for(engine: Engine) -> None:
    picture = photograph(150, 170)
    edited = stroke(picture, Box(60, 70, 8, 8))
    opened = open_session(engine, picture)
    opened.look((50, 40, 2 * SIZE))
    result = opened.edit(edited)
    assert result.window and result.window.box == (40, 50, 64, 64)
    assert np.array_equal(result.image[~result.mask], picture[~result.mask])
    with pytest.raises(SigeError, match="the edit is 8×8 pixels from x = 120, y = 10, which the window, 64×64 pixels"):
        opened.edit(stroke(picture, Box(10, 120, 8, 8)))
    opened.look(scale=3)
    scaled = opened.edit(edited).window
    assert scaled and scaled.scale == 3
    opened.look()
    chosen = opened.edit(edited).window
    assert chosen and chosen.scale == 1
    with pytest.raises(SigeError, match="a window has a scale: give one of the two"):
        opened.look((0, 0, SIZE), 2)


@pytest.mark.parametrize("dilation", [0, 3, 9, 40])
def test_what_an_edit_grows_by_is_seen_wherever_it_is(engine: Engine, dilation: int) -> None:
    picture = photograph(150, 170)
    opened = open_session(engine, picture, dilation=dilation)
    for left in range(0, 162, 7):
        edited = stroke(picture, Box(60, left, 8, 8))
        differs = np.zeros((150, 170), np.bool_)
        Box(60, left, 8, 8).of(differs)[...] = True
        found = opened.mask(edited)
        assert found[dilate(differs, dilation)].all()
        if dilation < 10:  # else at a larger scale, by pixels of which it grows
            assert np.array_equal(found, dilate(differs, dilation))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_of_no_pixels(engine: Engine, size: tuple[int, int]) -> None:
    empty = np.zeros((*size, 3), np.uint8)
    for opening in (
        lambda: EditSession(engine, empty),
        lambda: EditSession(engine, Image.new("RGB", size[::-1])),
        lambda: TranslationSession(translation_engine(), empty),
        lambda: LabelSession(label_engine(), empty[..., 0]),
    ):
        with pytest.raises(SigeError, match="has no pixels: a picture of one or more would be right"):
            opening()


def test_a_file_is_decoded_once(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes seconds of a hundred megapixels."""
    picture = photograph(150, 170)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(stroke(picture, Box(60, 70, 8, 8))).save(tmp_path / "b.jpg", quality=95, subsampling=0)
    decoder, decoded = Image._getdecoder, []
    monkeypatch.setattr(Image, "_getdecoder", lambda *given: (decoded.append(given[1]), decoder(*given))[1])
    EditSession(engine, tmp_path / "a.png", steps=1).edit(tmp_path / "b.jpg")
    assert [name for name in decoded if name != "raw"] == ["zip", "jpeg"]  # raw: an array becomes an image


@pytest.mark.slow
def test_memory_is_a_few_copies_of_a_large_picture(tmp_path: Path) -> None:
    """Of 24 megapixels: an edit at scale 1, one of a quarter of the picture, commits and undoing."""
    picture = np.kron(photograph(40, 60), np.ones((100, 100, 1), np.uint8))
    Image.fromarray(picture).save(tmp_path / "a.png", compress_level=1)
    script = f"""
import resource, numpy as np
from sige_mlx.editing import EditSession
from tests.editing.test_any_size import Box, stroke
from tests.tiny import tiny_engine
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
opened = EditSession(tiny_engine(), np.zeros((40, 40, 3), np.uint8), steps=1)
opened.edit(stroke(opened.original, Box(8, 8, 8, 8)))
before = peak()
opened = EditSession(opened.engine, {str(tmp_path / "a.png")!r}, steps=1)
for box in Box(2000, 3000, 9, 9), Box(500, 500, 2500, 2500):
    opened.edit(stroke(opened.original, box, 5))
    opened.commit()
opened.undo()
print((peak() - before) / {picture.nbytes})
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(ended.stdout) < 12
