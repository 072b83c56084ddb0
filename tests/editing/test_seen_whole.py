"""Pictures and label maps of any size that a network sees whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sige_mlx.editing import LabelSession, TranslationSession
from sige_mlx.editing.boxes import Box
from tests.editing.test_any_size import photograph, stroke
from tests.tiny import (
    LABEL_SIZE,
    TRANSLATION_CONFIG,
    label_engine,
    labels,
    translation_engine,
)


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
