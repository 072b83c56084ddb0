import dataclasses
import gc

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine, recordings
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMUNet
from tests.tiny import CONFIG, SIZE, original, painted, tiny_engine

STEPS = 4


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


def open_session(engine: Engine, **options: object) -> EditSession:
    return EditSession(engine, original(), **{"steps": STEPS, **options})


def mean_difference(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b)[mask].mean())


def test_unedited_pixels_are_exactly_the_originals(engine: Engine) -> None:
    result = open_session(engine).edit(painted())
    assert np.array_equal(result.image[~result.mask], original()[~result.mask])
    assert not np.array_equal(result.image, original())


def test_the_mask_is_the_dilated_difference(engine: Engine) -> None:
    result = open_session(engine).edit(painted())
    assert result.mask.sum() == 36 + 4 * 6  # the stroke and a rim of one pixel, without corners
    assert result.edited == 60 / SIZE**2


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(engine: Engine) -> None:
    first = open_session(engine, seed=3, sampler="ddpm").edit(painted()).image
    again = EditSession(tiny_engine(), original(), steps=STEPS, seed=3, sampler="ddpm").edit(painted()).image
    other = open_session(engine, seed=4, sampler="ddpm").edit(painted()).image
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_editing_twice_gives_the_same_bits(engine: Engine) -> None:
    opened = open_session(engine)
    assert np.array_equal(opened.edit(painted()).image, opened.edit(painted()).image)


@pytest.mark.parametrize("mask", [None, np.zeros((SIZE, SIZE), np.uint8)])
def test_an_empty_edit_is_the_original_and_runs_nothing(
    engine: Engine, mask: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(engine)
    for call in ("record", "edit", "__call__"):
        monkeypatch.setattr(Engine, call, lambda *_, **__: pytest.fail("the network ran"))
    result = opened.edit(original() if mask is None else painted(), mask)
    assert np.array_equal(result.image, original())
    assert (result.macs, result.edited, result.dense_seconds) == (0, 0, None)
    assert all(active == 0 for active, _ in result.tiles.values())


def test_numbers_of_an_edit(engine: Engine) -> None:
    result = open_session(engine).edit(painted())
    assert result.steps == STEPS
    assert result.dense_macs == STEPS * engine.macs
    assert 0 < result.macs < result.dense_macs
    assert result.tiles[SIZE, SIZE] == (15, 64)  # the mask, dilated, is seen from 4 x 4 tiles but for one at a corner
    assert result.seconds > 0
    assert result.dense_seconds is not None and result.dense_seconds > 0


def test_commit_makes_the_result_the_original(engine: Engine) -> None:
    opened = open_session(engine)
    result = opened.edit(painted())
    opened.commit()
    assert np.array_equal(opened.original, result.image)
    assert opened.pending is None
    assert opened.edit(result.image).edited == 0
    second = result.image.copy()
    second[20:24, 4:8] = 0
    opened.refresh()
    after = opened.edit(second)
    fresh = EditSession(tiny_engine(), result.image, steps=STEPS).edit(second)
    assert np.array_equal(after.image, fresh.image)


def test_commit_needs_a_result(engine: Engine) -> None:
    with pytest.raises(SigeError, match="nothing to commit"):
        open_session(engine).commit()


def test_revert_keeps_original_and_recording(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_session(engine)
    first = opened.edit(painted())
    opened.revert()
    assert opened.pending is None
    assert np.array_equal(opened.original, original())
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    assert np.array_equal(opened.edit(painted()).image, first.image)


def test_a_full_edit_of_the_unchanged_picture_equals_the_dense_run(engine: Engine) -> None:
    """In one step the network sees what was recorded, so the recorded statistics are the right ones."""
    opened = open_session(engine, steps=1)
    white = np.full((SIZE, SIZE), 255, np.uint8)
    result, dense = opened.edit(original(), white), opened.dense(original(), white)
    assert result.mask.all()
    assert np.abs(result.image.astype(int) - dense.image).max() <= 1


def test_an_edit_is_close_to_the_dense_run(engine: Engine) -> None:
    """Close: much closer than the dense result is to what was painted."""
    opened = open_session(engine)
    result, dense = opened.edit(painted()), opened.dense(painted())
    error = mean_difference(result.image, dense.image, result.mask)
    assert error < 0.2 * mean_difference(dense.image, painted(), result.mask)


def test_one_edit_alone_is_the_dense_pass(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_session(engine)
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded"))
        result = opened.edit(painted(), once=True)
    assert result.way == "dense pass" and result.recording_seconds == 0
    assert np.array_equal(result.image, opened.dense(painted()).image)
    in_tiles = opened.edit(painted())
    assert in_tiles.way == "tiles" and in_tiles.recording_seconds > 0
    assert (result.macs, result.edit_macs) == (in_tiles.dense_macs, in_tiles.macs)
    assert np.array_equal(opened.edit(painted(), once=True).image, in_tiles.image)  # it is recorded now
    opened.edit(painted(), once=True)
    opened.commit()
    assert opened.undoable == 1


def test_executors_agree(engine: Engine) -> None:
    native = open_session(engine, steps=2).edit(painted())
    reference = open_session(tiny_engine("reference"), steps=2).edit(painted())
    assert np.abs(native.image.astype(int) - reference.image).max() <= 1


def test_drawn_masks_in_any_mode_mean_the_same(engine: Engine) -> None:
    opened = open_session(engine)
    grey = np.zeros((SIZE, SIZE), np.uint8)
    grey[8:14, 10:16] = 255
    layer = np.dstack([np.zeros((SIZE, SIZE, 3), np.uint8), grey])  # a black stroke on a layer of its own
    results = [opened.edit(painted(), m) for m in (grey, Image.fromarray(grey), Image.fromarray(layer, "RGBA"))]
    for result in results:
        assert np.array_equal(result.mask, grey > 0)  # as drawn, not dilated
        assert np.array_equal(result.image, results[0].image)


def test_progress_is_told(engine: Engine) -> None:
    told: list[tuple[str, int, int]] = []
    opened = open_session(engine)
    opened.edit(painted(), progress=lambda *what: told.append(what))
    opened.dense(painted(), progress=lambda *what: told.append(what))
    assert told == [(what, i, STEPS) for what in ("record", "edit", "dense") for i in range(STEPS + 1)]


def test_an_interrupted_recording_is_resumed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_session(engine)

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.edit(painted(), progress=interrupt)
    assert opened.pending is None
    recorded = []
    record = Engine.record
    monkeypatch.setattr(Engine, "record", lambda *a, **k: (recorded.append(k["t"]), record(*a, **k))[1])
    resumed = opened.edit(painted())
    assert len(recorded) == STEPS - 2
    assert np.array_equal(resumed.image, open_session(tiny_engine()).edit(painted()).image)


def test_sessions_of_one_engine_do_not_mix(engine: Engine) -> None:
    first, other = open_session(engine), EditSession(engine, 255 - original(), steps=STEPS)
    first.record()
    other.record()
    assert np.array_equal(first.edit(painted()).image, open_session(tiny_engine()).edit(painted()).image)
    other.edit(255 - painted())
    other.commit()
    first.edit(painted())  # what it recorded is still there


def test_a_session_takes_its_recording_with_it() -> None:
    engine = tiny_engine()
    opened = open_session(engine)
    opened.record()
    assert engine.recordings.nbytes >= STEPS * engine.recordings.step_nbytes() > 0
    del opened
    gc.collect()
    assert engine.recordings.nbytes == 0


def test_the_callers_arrays_stay_the_callers(engine: Engine) -> None:
    mine = original()
    opened = EditSession(engine, mine, steps=STEPS)
    mine[:] = 0
    assert np.array_equal(opened.original, original())
    result = opened.edit(painted())
    opened.commit()
    kept = opened.original.copy()
    result.image[:] = 0
    assert np.array_equal(opened.original, kept)


def test_too_many_steps_for_the_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    each = engine.recordings.step_nbytes("int8")
    monkeypatch.setattr(recordings, "physical_memory", lambda: 28 * each)
    monkeypatch.setattr(recordings, "room", lambda folder: each - 1)
    engine = tiny_engine()
    EditSession(engine, original(), steps=7).record()
    with pytest.raises(SigeError, match=r"8 steps of this model keep .* take at most 7$"):
        EditSession(engine, original(), steps=8).record()


def test_memory_that_other_sessions_took_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_engine()
    first = EditSession(engine, original(), steps=4)
    first.record()
    engine.recordings.budget = engine.recordings.nbytes + 2 * engine.recordings.step_nbytes("int8")
    monkeypatch.setattr(recordings, "room", lambda folder: 0)
    with pytest.raises(SigeError, match=r"take at most 2$"):
        EditSession(engine, original(), steps=3).record()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "the number of steps is 0"),
        ({"steps": 501}, "from 1 to 500"),
        ({"strength": 0.0}, "the strength is 0.0"),
        ({"strength": 2.0}, "the strength is 2.0"),
        ({"strength": float("nan")}, "the strength is nan"),
        ({"sampler": "euler"}, "must be one of ddim, ddpm, dpm-solver"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": 2**64}, "the seed is"),
        ({"seed": 1.5}, "the seed is 1.5: it must be a whole number, from 0 to 2\\^64 - 1"),
        ({"seed": True}, "the seed is True"),
        ({"seed": None}, "the seed is None"),
        ({"seed": "7"}, "the seed is '7'"),
        ({"steps": 2.0}, "the number of steps is 2.0: it must be a whole number"),
        ({"steps": True}, "the number of steps is True"),
        ({"steps": -3}, "the number of steps is -3"),
        ({"strength": "0.5"}, "the strength is '0.5': it must be a number"),
        ({"strength": True}, "the strength is True"),
        ({"sampler": 5}, "sampler 5 is none of this network's"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"dilation": 0.5}, "the dilation is 0.5"),
    ],
)
def test_arguments_out_of_range(engine: Engine, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        open_session(engine, **options)


def test_a_network_that_is_not_of_pictures() -> None:
    model = DDPMUNet(dataclasses.replace(CONFIG, out_ch=6))
    with pytest.raises(SigeError, match="reads 3 channels and writes 6"):
        EditSession(Engine(model), original())


def test_pictures_of_another_size_than_the_original(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    one_pixel = np.zeros((1, 1, 3), np.uint8)
    opened = open_session(engine)
    with pytest.raises(SigeError, match=r"the edited image is 1×1 pixels .*: the original is 32×32, and both must"):
        opened.edit(one_pixel)
    with pytest.raises(SigeError, match="the mask is 32×16"):
        opened.edit(painted(), np.zeros((16, 32), np.uint8))


def test_numpys_numbers_are_numbers(engine: Engine) -> None:
    theirs = open_session(
        engine, seed=np.int64(3), steps=np.int32(2), strength=np.float32(0.5), eps=np.float64(0.01), dilation=np.int8(1)
    )
    ours = open_session(engine, seed=3, steps=2, strength=0.5, eps=0.01, dilation=1)
    assert np.array_equal(theirs.edit(painted()).image, ours.edit(painted()).image)
