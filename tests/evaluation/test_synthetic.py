"""Edits that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.scenes import HELD_OUT, fitted, scenes_for, size_of
from sige_mlx.evaluation.synthetic import KINDS, SEGMENT, SIZES, Synthetic, connected
from tests.tiny import LABEL_CONFIG, LABEL_SIZE, TRANSLATION_CONFIG, edited_labels, labels, original, write_tiny_model


def test_segments_of_the_held_out_map_are_moved() -> None:
    cases = Synthetic(scenes_for(zoo.load(zoo.LABELS), None), 6, 3, of_labels=True)
    for index in range(len(cases)):
        case = cases[index]
        before, after = np.asarray(case.original), np.asarray(case.edited)
        changed = before != after
        assert before.shape == (256, 256) and SEGMENT[0] <= changed.mean() <= SEGMENT[1]
        moved = before if index % 2 else after
        assert len(np.unique(moved[changed])) == 1  # of one class
        assert (case.truth is not None) == bool(index % 2)


def test_pictures_are_painted_into_in_turns() -> None:
    cases = Synthetic(scenes_for(zoo.load(zoo.DEFAULT), None), 9, 3, of_labels=False)
    for index in range(len(cases)):
        case = cases[index]
        kind, percent = KINDS[index % 3], SIZES[index // 3]
        assert case.name.startswith(f"{kind} of {percent:g} %")
        changed = (np.asarray(case.original) != np.asarray(case.edited)).any(-1)
        assert changed.mean() == pytest.approx(percent / 100, rel=0.1)
        colours = np.unique(np.asarray(case.edited)[changed], axis=0)
        assert (len(colours) == 1) == (kind != "recoloured")


def test_an_edit_is_a_function_of_seed_and_number() -> None:
    scenes = scenes_for(zoo.load(zoo.DEFAULT), None)
    few, many, others = (Synthetic(scenes, n, seed, of_labels=False) for n, seed in ((2, 0), (5, 0), (5, 1)))
    assert few.identity == many.identity != others.identity
    assert np.array_equal(np.asarray(few[1].edited), np.asarray(many[1].edited))
    assert not np.array_equal(np.asarray(few[1].edited), np.asarray(others[1].edited))
    with pytest.raises(IndexError):
        few[2]


def test_of_pictures_in_a_folder_the_middle_is_taken(tmp_path: Path) -> None:
    model = zoo.load(write_tiny_model(tmp_path / "model", TRANSLATION_CONFIG))
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(original(64, 80)).save(folder / "a.png")
    Image.fromarray(original(32, 48)).save(folder / "b.jpg")
    case = Synthetic(scenes_for(model, folder), 1, 0, of_labels=False)[0]
    assert np.asarray(case.edited).shape == (*size_of(model), 3)
    wide = Image.fromarray(np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 20, 0).repeat(3, 2))
    assert np.array_equal(fitted(wide, (20, 20)), np.asarray(wide)[:, 50:70])


def test_maps_of_a_folder_may_have_instances_and_pictures(tmp_path: Path) -> None:
    model = zoo.load(write_tiny_model(tmp_path / "model", LABEL_CONFIG))
    for role in ("labels", "instances", "truth"):
        (tmp_path / "maps" / role).mkdir(parents=True)
    for name, ids in (("a", labels()), ("b", np.roll(edited_labels(), 9, 1))):
        Image.fromarray(ids).save(tmp_path / "maps/labels" / f"{name}.png")
        Image.fromarray(ids.astype(np.uint16) * 100).save(tmp_path / "maps/instances" / f"{name}.png")
        Image.fromarray(original(*LABEL_SIZE)).save(tmp_path / "maps/truth" / f"{name}.png")
    case = Synthetic(scenes_for(model, tmp_path / "maps"), 2, 0, of_labels=True)[1]
    before, after = np.asarray(case.instances), np.asarray(case.edited_instances)
    assert ((before != after) == (before == before.max())).all() and before.max() == after.max() + 1
    assert np.asarray(case.truth).shape == (*LABEL_SIZE, 3)


def test_what_no_edits_are_made_of(tmp_path: Path) -> None:
    model = zoo.load(write_tiny_model(tmp_path / "model", LABEL_CONFIG))
    with pytest.raises(SigeError, match="has no label maps in the package"):
        scenes_for(model, None)
    with pytest.raises(SigeError, match="cannot be read"):
        scenes_for(model, tmp_path / "none")
    (tmp_path / "maps").mkdir()
    with pytest.raises(SigeError, match="holds no pictures"):
        scenes_for(model, tmp_path / "maps")
    Image.fromarray(labels()).save(tmp_path / "maps" / "a.png")
    with pytest.raises(SigeError, match="holds one label map"):
        scenes_for(model, tmp_path / "maps")
    Image.fromarray(labels()).save(tmp_path / "maps" / "b.png")
    with pytest.raises(SigeError, match="the label maps are too alike"):
        Synthetic(scenes_for(model, tmp_path / "maps"), 1, 0, of_labels=True)[0]


def test_what_hangs_together() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]], np.bool_)
    expected = mask.copy()
    expected[3, 0] = False
    assert np.array_equal(connected(mask, (0, 3)), expected)
    assert connected(mask, (3, 0)).sum() == 1


def test_the_strip_is_labelled_all_over() -> None:
    with Image.open(HELD_OUT / "picture.jpg") as picture, Image.open(HELD_OUT / "labels.png") as maps:
        assert picture.size == maps.size and len(zoo.classes(zoo.LABELS)) > np.asarray(maps).max()
