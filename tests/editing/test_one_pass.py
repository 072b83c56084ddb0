"""What sessions over label maps and over pictures to translate have in common."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.editing import LabelSession, TranslationSession
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.engine import Engine, recordings
from sige_mlx.errors import SigeError
from tests.tiny import (
    TRANSLATION_CONFIG,
    edited_labels,
    instances,
    label_engine,
    labels,
    original,
    painted,
    translation_engine,
)


@dataclass(frozen=True)
class Kind:
    """A kind of session: its engine by device, a session with one, and an edit."""

    engine: Callable[..., Engine]
    open: Callable[[Engine], Any]
    edited: Callable[[], npt.NDArray[Any]]


KINDS = {
    "labels": Kind(label_engine, lambda engine: LabelSession(engine, labels(), instances()), edited_labels),
    "translation": Kind(
        translation_engine,
        lambda engine: TranslationSession(engine, original(*TRANSLATION_CONFIG.image_size)),
        lambda: painted(*TRANSLATION_CONFIG.image_size),
    ),
}


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def engine(kind: Kind) -> Engine:
    return kind.engine()


def covered(session: OnePassSession[Any], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels in active tiles."""
    engine = session.engine
    pixels: npt.NDArray[np.bool_] = engine.prepare(mask).tiling.at(engine.image_size).pixels()[0]
    return pixels


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_pixels_outside_the_tiles_are_exactly_the_recorded_ones(kind: Kind, device: str) -> None:
    opened = kind.open(kind.engine(device))
    before = opened.record()
    result = opened.edit(kind.edited())
    tiles = covered(opened, result.mask)
    assert np.array_equal(result.image[~tiles], before[~tiles])
    assert not np.array_equal(result.image[result.mask], before[result.mask])
    assert tiles[result.mask].all() and not tiles.all()


def test_executors_agree(kind: Kind, engine: Engine) -> None:
    native, reference = (kind.open(e).edit(kind.edited()).image for e in (engine, kind.engine("reference")))
    assert np.abs(native.astype(int) - reference).max() <= 1


def test_the_sessions_end_drops_what_was_recorded(kind: Kind) -> None:
    engine = kind.engine()
    opened = kind.open(engine)
    opened.edit(kind.edited())
    opened.commit()
    assert engine.recordings.nbytes > 0
    del opened
    gc.collect()
    assert engine.recordings.nbytes == 0


def test_commit_needs_a_result(kind: Kind, engine: Engine) -> None:
    opened = kind.open(engine)
    with pytest.raises(SigeError, match="nothing to commit"):
        opened.commit()
    opened.edit(kind.edited())
    opened.revert()
    assert opened.pending is None
    with pytest.raises(SigeError, match="nothing to commit"):
        opened.commit()


def test_one_edit_alone_is_the_dense_pass(kind: Kind, engine: Engine) -> None:
    opened = kind.open(engine)
    result = opened.edit(kind.edited(), once=True)
    assert result.way == "dense pass" and opened.recorded == 0
    assert np.array_equal(result.image, opened.dense(kind.edited()).image)
    opened.commit()
    opened.undo()
    assert opened.edit(kind.edited()).way == "tiles"


def test_revert_keeps_the_recording(kind: Kind, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = kind.open(engine)
    before = np.array(opened.original)
    first = opened.edit(kind.edited())
    opened.revert()
    assert opened.pending is None and np.array_equal(opened.original, before)
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded again"))
    assert np.array_equal(opened.edit(kind.edited()).image, first.image)


def test_progress_is_told(kind: Kind, engine: Engine) -> None:
    told: list[tuple[str, int, int]] = []
    opened = kind.open(engine)
    opened.edit(kind.edited(), progress=lambda *what: told.append(what))
    opened.dense(kind.edited(), progress=lambda *what: told.append(what))
    assert told == [(what, i, 1) for what in ("record", "edit", "dense") for i in range(2)]


def test_a_recording_that_does_not_fit_in_memory(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "physical_memory", lambda: 1000)
    monkeypatch.setattr(recordings, "room", lambda folder: 0)
    with pytest.raises(SigeError, match=r"1 steps of this model keep .* take at most 0$"):
        kind.open(kind.engine()).record()
