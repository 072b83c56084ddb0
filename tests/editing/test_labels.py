"""Sessions over label maps."""

import dataclasses

import numpy as np
import pytest

from sige_mlx.editing import LabelSession
from sige_mlx.editing.images import from_model
from sige_mlx.editing.label_maps import colours
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from tests.editing.test_one_pass import covered
from tests.labels import one_hot
from tests.tiny import LABEL_CONFIG, LABEL_SIZE, edited_labels, instances, label_engine, labels, tiny_engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return label_engine()


def open_session(engine: Engine) -> LabelSession:
    return LabelSession(engine, labels(), instances())


def edited_instances() -> np.ndarray:
    return np.where(edited_labels() == labels(), instances(), edited_labels())


def test_the_recorded_picture_is_the_networks(engine: Engine) -> None:
    opened = open_session(engine)
    x = one_hot(labels(), instances())
    assert np.array_equal(opened.record(), from_model(engine(x=x)))
    assert np.array_equal(
        opened.dense(edited_labels()).image, from_model(engine(x=one_hot(edited_labels(), edited_instances())))
    )


def test_the_mask_is_where_the_networks_input_differs(engine: Engine) -> None:
    x, edited = (
        np.asarray(one_hot(*maps))[0] for maps in ((labels(), instances()), (edited_labels(), edited_instances()))
    )
    differs = (x != edited).any(-1)
    result = open_session(engine).edit(edited_labels())
    assert np.array_equal(result.mask, dilate(differs, 1))
    assert differs.sum() > (labels() != edited_labels()).sum()  # the edges around the tree


def test_instances_alone_are_an_edit(engine: Engine) -> None:
    opened = open_session(engine)
    one_car = np.where(instances() == 26001, 26000, instances())
    mask = opened.mask(labels(), one_car)
    expected = np.zeros(LABEL_SIZE, np.bool_)
    expected[18:24, 44:46] = True  # the edge between the cars
    outline = expected & (np.asarray(one_hot(labels(), one_car))[0, ..., -1] == 0)
    assert np.array_equal(mask, dilate(outline, 1))
    assert opened.edit(labels(), one_car).edited > 0
    assert opened.edit(labels(), np.where(instances() == 26001, 5, instances())).edited == 0  # numbers do not matter


def test_without_instances_every_area_is_an_object(engine: Engine) -> None:
    bare = LabelSession(engine, labels())
    assert np.array_equal(bare.record(), LabelSession(engine, labels(), labels()).record())
    assert not np.array_equal(bare.record(), open_session(engine).record())
    assert bare.edit(edited_labels()).edited > 0


def test_a_network_without_instances() -> None:
    engine = label_engine(config=dataclasses.replace(LABEL_CONFIG, no_instance=True))
    opened = LabelSession(engine, labels())
    result = opened.edit(edited_labels())
    assert np.array_equal(result.mask, dilate(labels() != edited_labels(), 1))
    with pytest.raises(SigeError, match="this network sees no instances"):
        opened.edit(edited_labels(), instances())


def test_an_edit_is_close_to_the_dense_run(engine: Engine) -> None:
    opened = open_session(engine)
    before, result, dense = opened.record(), opened.edit(edited_labels()), opened.dense(edited_labels())

    def off(a: np.ndarray) -> float:
        return float(np.abs(a.astype(int) - dense.image)[result.mask].mean())

    assert off(result.image) < 0.2 * off(before)


def test_an_edit_of_everything_is_the_dense_run(engine: Engine) -> None:
    opened = open_session(engine)
    other = (labels() + 1) % 35
    result = opened.edit(other, instances())
    assert result.mask.all()
    assert np.abs(result.image.astype(int) - opened.dense(other, instances()).image).max() <= 1


def test_an_empty_edit_is_the_recorded_picture_and_runs_nothing(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(labels())
    assert np.array_equal(result.image, opened.record())
    assert (result.macs, result.edited) == (0, 0)


def test_maps_in_colour_mean_the_same(engine: Engine) -> None:
    opened = LabelSession(engine, labels())
    coloured = LabelSession(engine, colours(labels()))
    assert np.array_equal(opened.edit(edited_labels()).image, coloured.edit(colours(edited_labels())).image)


def test_numbers_of_an_edit(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(edited_labels())
    assert (result.steps, result.dense_macs) == (1, engine.macs) and 0 < result.macs < engine.macs
    assert result.tiles[LABEL_SIZE] == (int(covered(opened, result.mask).sum()) // 16, 8 * 16)
    assert list(result.tiles) == sorted(result.tiles, reverse=True)
    assert result.seconds > 0 and result.dense_seconds is not None and result.dense_seconds > 0


def test_commit_makes_the_edited_map_the_original(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(edited_labels())
    opened.commit()
    assert opened.pending is None and np.array_equal(opened.record(), result.image)
    assert np.array_equal(opened.labels, edited_labels())
    assert np.array_equal(opened.instances, edited_instances())
    second = edited_labels()
    second[2:6, 50:56] = 24
    fresh = LabelSession(label_engine(), edited_labels(), edited_instances())
    opened.refresh()
    assert np.array_equal(opened.edit(second).image, fresh.edit(second).image)


def test_the_callers_arrays_stay_the_callers(engine: Engine) -> None:
    mine, objects = labels().astype(np.int32), instances()
    opened = LabelSession(engine, mine, objects)
    mine[:] = objects[:] = 0
    assert np.array_equal(opened.edit(edited_labels()).image, open_session(engine).edit(edited_labels()).image)


def test_networks_that_are_not_of_label_maps() -> None:
    with pytest.raises(SigeError, match="this model reads pictures: label maps are for"):
        LabelSession(tiny_engine(), labels())
    engine = label_engine(config=dataclasses.replace(LABEL_CONFIG, output_nc=1))
    with pytest.raises(SigeError, match="this network writes 1 channels"):
        LabelSession(engine, labels())


def test_maps_that_do_not_fit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    small, wrong = np.zeros((1, 1), np.uint8), np.full(LABEL_SIZE, 99)
    with pytest.raises(SigeError, match=r"the original instance map is 1×1 pixels .*: 64×32 is wanted"):
        LabelSession(engine, labels(), small)
    with pytest.raises(SigeError, match="the original label map has the class 99"):
        LabelSession(engine, wrong)
    opened = open_session(engine)
    for call in (opened.edit, opened.dense, opened.mask):
        with pytest.raises(SigeError, match="the edited label map is 1×1"):
            call(small)
        with pytest.raises(SigeError, match="the edited instance map is 1×1"):
            call(labels(), small)
        with pytest.raises(SigeError, match="the edited label map has the class 99"):
            call(wrong)
