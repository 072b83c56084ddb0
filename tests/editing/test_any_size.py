"""Sessions of pictures that are larger or smaller than what the network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.editing import EditResult, EditSession, LabelSession, TranslationSession
from sige_mlx.editing.boxes import Box
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from tests.tiny import (
    LABEL_SIZE,
    SIZE,
    TRANSLATION_CONFIG,
    label_engine,
    labels,
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


def detail(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """What differs between neighbours in a row."""
    inner = mask[:, 1:] & mask[:, :-1]
    return np.diff(picture.astype(np.float64), axis=1)[inner].ravel()


def test_detail_survives_a_window_of_a_larger_scale(engine: Engine) -> None:
    """Noise that the network cannot see is there after a redraw, and not in what is filled."""
    picture, mask = photograph(150, 150), np.zeros((150, 150), np.uint8)
    mask[20:130, 20:130] = 255
    inside = np.zeros((150, 150), np.bool_)
    inside[30:120, 30:120] = True
    likeness = []
    for fill in (False, True):
        result = open_session(engine, picture, fill=fill).edit(picture, mask)
        assert result.window and result.window.scale > 1
        likeness.append(np.corrcoef(detail(picture, inside), detail(result.image, inside))[0, 1])
    assert likeness[0] > 0.5 and abs(likeness[1]) < 0.2


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


def test_later_edits_in_a_window_record_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photograph(150, 170)
    opened = open_session(engine, picture)
    first = opened.edit(stroke(picture, Box(60, 70, 8, 8)))
    assert opened.recorded == STEPS and opened.windows == (first.window,)
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    assert opened.edit(stroke(picture, Box(62, 71, 8, 8))).window == first.window
    opened.commit()
    assert opened.edit(stroke(opened.original, Box(62, 71, 8, 8), 5)).window == first.window


PLACES = Box(60, 70, 8, 8), Box(80, 90, 9, 8), Box(4, 130, 8, 8), Box(30, 30, 80, 90), Box(62, 74, 8, 8)
"""Edits whose windows overlap, stand apart, or are of a larger scale."""


def edited_in_turn(opened: EditSession) -> list[npt.NDArray[np.uint8]]:
    """The originals that a session has, edit after edit."""
    states = [opened.original]
    for seed, box in enumerate(PLACES):
        opened.edit(stroke(opened.original, box, seed))
        opened.commit()
        states.append(opened.original)
    return states


@pytest.mark.parametrize("settled", [False, True])
def test_undo_and_redo_go_across_windows(engine: Engine, settled: bool) -> None:
    opened = open_session(engine, photograph(150, 170))
    states = edited_in_turn(opened)
    assert len(opened.windows) >= 4
    for state in (*range(len(PLACES))[::-1], *range(1, len(PLACES) + 1)):
        if settled:
            opened.settle()
        (opened.undo if state < opened.undoable else opened.redo)()
        assert np.array_equal(opened.original, states[state])
    assert (opened.undoable, opened.redoable) == (len(PLACES), 0)


def test_what_is_recorded_in_every_window_follows_a_commit(engine: Engine) -> None:
    """An edit in one window, then one in another that shows some of it: after a refresh as in a new session."""
    opened = open_session(engine, photograph(150, 170))
    edited_in_turn(opened)
    opened.settle()
    assert opened.behind == 0 and opened.stale > STEPS
    opened.refresh()
    assert opened.stale == 0
    fresh = open_session(engine, opened.original)
    for seed, box in enumerate(PLACES):
        edited = stroke(opened.original, box, 100 + seed)
        assert np.array_equal(opened.edit(edited).image, fresh.edit(edited).image)


def test_an_undone_commit_leaves_no_trace_in_any_window(engine: Engine) -> None:
    opened = open_session(engine, photograph(150, 170))

    def probes() -> list[EditResult]:
        return [opened.edit(stroke(opened.original, box, 9)) for box in PLACES]

    before = probes()
    for settled in (False, True):
        opened.edit(stroke(opened.original, PLACES[3], 1))
        opened.commit()
        if settled:
            opened.settle()
            assert opened.stale > STEPS  # of more windows than one
        opened.undo()
        assert (opened.behind, opened.stale) == (0, 0)
        for one, other in zip(before, probes(), strict=True):
            assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("at", range(7))
def test_interrupted_nothing_has_happened_in_any_window(engine: Engine, at: int) -> None:
    opened = open_session(engine, photograph(150, 170))
    for box in PLACES[:2]:
        opened.edit(stroke(opened.original, box))
    opened.commit()
    opened.settle()
    stale = opened.stale
    assert stale == 2 * STEPS
    before, calls = opened.original, []

    def interrupt(what: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == at + 1:
            raise KeyboardInterrupt

    try:
        opened.undo(interrupt)
    except KeyboardInterrupt:
        assert np.array_equal(opened.original, before)
        assert (opened.stale, opened.behind, opened.undoable) == (stale, 0, 1)
        opened.undo()
    assert (opened.stale, opened.behind) == (0, 0)


def test_windows_make_room_for_each_other_within_the_budget() -> None:
    """The one that was used least recently goes first, and what undoing it would have swapped."""
    engine = tiny_engine()
    engine.recordings.budget = 2 * STEPS * engine.recordings.step_nbytes("float32")
    opened, windows = open_session(engine, photograph(150, 400)), []
    for left in (30, 130, 230):
        windows.append(opened.edit(stroke(opened.original, Box(60, left, 8, 8))).window)
        opened.commit()
        opened.settle()
        assert engine.recordings.kept.memory <= engine.recordings.budget and engine.recordings.kept.disk == 0
    assert opened.windows == tuple(windows[1:]) and engine.recordings.codec == "float32"
    opened.edit(stroke(opened.original, Box(60, 130, 8, 8)))  # which is used again
    opened.edit(stroke(opened.original, Box(60, 30, 8, 8)))
    assert opened.windows == (windows[1], windows[0])
    states = opened.original
    for _ in range(3):
        opened.undo()
    for _ in range(3):
        opened.redo()
    assert np.array_equal(opened.original, states)


def test_a_saved_session_goes_on_in_its_windows(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(engine, photograph(150, 170), seed=4)
    states = edited_in_turn(opened)
    opened.save(tmp_path / "s")
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    again = EditSession.open(tiny_engine(), tmp_path / "s")
    assert again.windows == opened.windows and again.memory().disk > 0
    for box in PLACES:
        edited = stroke(opened.original, box, 77)
        assert np.array_equal(again.edit(edited).image, opened.edit(edited).image)
    for state in range(len(PLACES))[::-1]:
        again.undo()
        assert np.array_equal(again.original, states[state])
    again.save(tmp_path / "s")
    once_more = EditSession.open(tiny_engine(), tmp_path / "s")
    for state in range(1, len(PLACES) + 1):
        once_more.redo()
        assert np.array_equal(once_more.original, states[state])


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


def test_a_large_dilation_is_seen_whole(engine: Engine) -> None:
    picture = photograph(150, 170)
    opened = open_session(engine, picture, dilation=9)
    result = opened.edit(stroke(picture, Box(60, 70, 8, 8)))
    assert result.window and result.window.scale == 1 and result.mask[51:77, 74].all()


@pytest.mark.parametrize("size", [(33, 49), (70, 101), (20, 30), (64, 96)])
def test_a_translation_sees_the_picture_whole(size: tuple[int, int]) -> None:
    """At a scale what the network changes is carried over: outside an edit it is the original's translation."""
    engine, picture = translation_engine(), photograph(*size)
    opened = TranslationSession(engine, picture)
    plain = opened.record()
    assert plain.shape == picture.shape
    edited = stroke(picture, Box(5, 6, 4, 4))
    result = opened.edit(edited)
    assert result.window and result.window.part == Box(0, 0, *size)
    far = np.ones(size, np.bool_)
    far[: 20 * int(result.window.scale) + 10] = False
    assert np.array_equal(result.image[far], plain[far])
    dense = opened.dense(edited).image
    assert np.abs(result.image.astype(int) - dense)[result.mask].mean() < 12
    opened.commit()
    assert np.array_equal(opened.original, edited)
    opened.undo()
    assert np.array_equal(opened.original, picture) and np.array_equal(opened.record(), plain)


def test_a_translation_of_a_smaller_picture_is_that_of_what_is_mirrored() -> None:
    size = TRANSLATION_CONFIG.image_size
    picture = photograph(size[0] - 5, size[1] - 9)
    mirrored = np.pad(picture, ((0, 5), (0, 9), (0, 0)), mode="symmetric")
    whole = TranslationSession(translation_engine(), mirrored).record()
    part = TranslationSession(translation_engine(), picture).record()
    assert np.array_equal(part, whole[: picture.shape[0], : picture.shape[1]])


def test_a_label_map_is_seen_whole() -> None:
    """One of twice the network's size, in blocks of four alike, is the network's own map."""
    ids, engine = labels(), label_engine()
    large = ids.repeat(2, 0).repeat(2, 1)
    opened, own = LabelSession(engine, large), LabelSession(engine, ids)
    picture, small = opened.record(), own.record()
    assert picture.shape == (*large.shape, 3)
    assert np.abs(picture[::2, ::2].astype(int) - small).mean() < 8  # enlarged: between the middles of its pixels
    edited, large_edited = ids.copy(), large.copy()
    edited[4:8, 10:20] = 21
    large_edited[8:16, 20:40] = 21
    result = opened.edit(large_edited)
    assert np.array_equal(result.mask[::2, ::2], own.edit(edited).mask) and result.macs == own.edit(edited).macs
    opened.commit()
    assert np.array_equal(opened.labels, large_edited)
    opened.undo()
    assert np.array_equal(opened.labels, large) and np.array_equal(opened.record(), picture)


@pytest.mark.parametrize("size", [(1, 1), (33, 64), (7, 130), (500, 20)])
def test_label_maps_of_many_shapes(size: tuple[int, int], tmp_path: Path) -> None:
    ids = np.resize(labels(), size)
    opened = LabelSession(label_engine(), ids)
    edited = ids.copy()
    edited[: size[0] // 2 + 1, : size[1] // 2 + 1] = 21
    result = opened.edit(edited)
    assert result.image.shape == (*size, 3) and result.mask.shape == size and result.mask.any()
    opened.commit()
    opened.save(tmp_path / "s")
    again = LabelSession.open(label_engine(), tmp_path / "s")
    again.undo()
    assert np.array_equal(again.labels, ids)


def test_new_numbers_of_instances_are_undone_everywhere() -> None:
    """They change no edge, so nothing is rendered there; but the map of before has its own."""
    before = np.ones(LABEL_SIZE, np.int32)
    before[:, 32:] = 2
    opened = LabelSession(label_engine(), labels(), before)
    edited = labels().copy()
    edited[4:8, 10:20] = 21
    opened.edit(edited, before + 5)
    opened.commit()
    assert np.array_equal(opened.instances, before + 5)
    opened.undo()
    assert np.array_equal(opened.instances, before)
