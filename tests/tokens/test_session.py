"""Sessions of a tiny random model of tokens: a whole story, what is exact, what is kept, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.editing.container import Container, write
from sige_mlx.editing.saved import PURPOSE
from sige_mlx.errors import SigeError
from sige_mlx.tokens import TokenEngine, klein
from sige_mlx.tokens.record import KeyValueRecord
from sige_mlx.tokens.session import TokenSession

pytest.importorskip("mflux")


@pytest.fixture(scope="module")
def pipeline() -> klein.Pipeline:
    return klein.load(klein.TINY)


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width].copy()


def box(y: int, x: int, side: int = 8, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[y : y + side, x : x + side] = 255
    return mask


def test_a_whole_story(pipeline: klein.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record, edit, commit, a second edit with another prompt, undo, redo, save, reopen."""
    session = TokenSession(pipeline, picture(), prompt="a harbour at dusk", seed=3)
    session.record()
    held = session.recording_nbytes
    assert held == session.plan().recorded
    mask = box(16, 24)
    first = session.edit(mask=mask)
    inside = mask > 0
    assert (first.image[~inside] == picture()[~inside]).all() and (first.image[inside] != picture()[inside]).any()
    assert first.macs * 2 < first.dense_macs and first.text_tokens == (1, 16)
    assert (session.edit(mask=mask).image == first.image).all()
    session.commit()
    assert (session.original == first.image).all() and session.undoable == 1
    other = box(32, 40)
    second = session.edit(mask=other, prompt="a lighthouse")
    assert (second.image[other == 0] == first.image[other == 0]).all()
    assert second.text_tokens == (4, 16)
    session.commit()
    assert session.prompt == "a lighthouse"
    session.undo()
    assert (session.original == first.image).all() and session.prompt == "a harbour at dusk"
    again = session.edit(mask=other, prompt="a lighthouse")
    assert (again.image == second.image).all() and session._pending
    latents = session._pending.latents
    session.revert()
    session.redo()
    assert (session.original == second.image).all()
    session.undo()
    session.save(tmp_path / "story.sige")
    reopened = TokenSession.open(pipeline, tmp_path / "story.sige")
    assert (reopened.original == first.image).all() and (reopened.undoable, reopened.redoable) == (1, 1)
    with monkeypatch.context() as patched:
        patched.setattr(TokenEngine, "record", lambda *_: pytest.fail("recorded again"))
        once_more = reopened.edit(mask=other, prompt="a lighthouse")
    # The model gives the same to the bit; decoded it is a little nearer to a fresh decoding.
    assert latents and reopened._pending and reopened._pending.latents
    assert mx.array_equal(reopened._pending.latents.tokens, latents.tokens)
    apart, changed = (np.abs(once_more.image.astype(int) - of)[other > 0].mean() for of in (second.image, first.image))
    assert apart <= 0.3 * changed
    reopened.revert()
    reopened.undo()
    assert (reopened.original == picture()).all()


def test_a_picture_of_words_is_the_first_recording(
    pipeline: klein.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = TokenSession(pipeline, prompt="a sea of glass", size=(48, 64), seed=1)
    made = session.generate()
    assert made.image.shape == (48, 64, 3) and made.image.std() > 1
    assert made.way == "dense pass" and made.macs == made.dense_macs and not made.levels
    mask = box(8, 8)
    with monkeypatch.context() as patched:
        patched.setattr(TokenEngine, "record", lambda *_: pytest.fail("recorded again"))
        edit = session.edit(mask=mask)  # it was recorded as it was made
    assert (edit.image[mask == 0] == made.image[mask == 0]).all()
    assert edit.way == "tokens" and edit.levels
    session.save(tmp_path / "words.sige")
    assert (TokenSession.open(pipeline, tmp_path / "words.sige").original == made.image).all()
    with pytest.raises(SigeError, match="the original is there already"):
        session.generate()


def test_an_edit_is_near_the_dense_one(pipeline: klein.Pipeline) -> None:
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    mask = box(16, 24, 12)
    edit, dense = session.edit(mask=mask).image.astype(int), session.dense(mask=mask).image.astype(int)
    inside = mask > 0
    assert (dense[~inside] == picture()[~inside]).all()
    assert np.abs(edit - dense)[inside].mean() <= 0.2 * np.abs(dense - picture())[inside].mean()


def test_everything_active_is_the_dense_pass(pipeline: klein.Pipeline) -> None:
    """With a prompt that fills all places: what is padding is computed only where it is new."""
    session = TokenSession(pipeline, picture(), prompt="a harbour", strength=1)
    everything, prompt = np.full((48, 64), 255, np.uint8), "a boat " * 8
    edit = session.edit(mask=everything, prompt=prompt)
    assert edit.tokens == (192, 192) and edit.text_tokens == (16, 16)
    assert (session.dense(mask=everything, prompt=prompt).image == edit.image).all()
    painted = picture()
    painted[8:24, 8:40] = (255, 0, 0)
    session = TokenSession(pipeline, picture(), prompt="a harbour", strength=0.5)
    other = session.edit(painted, everything, prompt=prompt)
    assert (other.image != session.edit(mask=everything, prompt=prompt).image).any()
    assert (session.dense(painted, everything, prompt=prompt).image == other.image).all()


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_weights_edit_with_the_text_kept_and_come_back(tmp_path: Path, bits: int) -> None:
    """A matrix without rows, as no text would be, ends the process where weights are quantised."""
    pipeline = klein.load(klein.TINY, bits)
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    kept = session.edit(mask=box(16, 24))
    assert kept.text_tokens == (1, 16) and (kept.image != picture()).any()
    assert (kept.image != TokenSession(klein.tiny(), picture(), prompt="a harbour").edit(mask=box(16, 24)).image).any()
    everything, prompt = np.full((48, 64), 255, np.uint8), "a boat " * 8
    edit = session.edit(mask=everything, prompt=prompt)
    assert (session.dense(mask=everything, prompt=prompt).image == edit.image).all()
    session.edit(mask=box(16, 24))
    session.commit()
    session.save(tmp_path / "q.sige")
    reopened = TokenSession.open(klein.load(klein.TINY, bits), tmp_path / "q.sige")
    for of in (reopened, session):
        of.edit(mask=box(32, 40))
    again, there = (of._pending and of._pending.latents for of in (reopened, session))
    assert again and there and mx.array_equal(again.tokens, there.tokens)
    with pytest.raises(SigeError, match=f"belongs to another model, flux2-tiny q{bits}, than this, flux2-tiny$"):
        TokenSession.open(klein.load(klein.TINY), tmp_path / "q.sige")


def test_an_empty_mask_is_the_original(pipeline: klein.Pipeline) -> None:
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    result = session.edit(mask=np.zeros((48, 64), np.uint8))
    assert (result.image == picture()).all() and result.macs == 0 and session.recording_nbytes == 0
    session.commit()
    assert session.undoable == 0


def test_what_was_painted_is_seen(pipeline: klein.Pipeline) -> None:
    session = TokenSession(pipeline, picture(), prompt="a harbour", strength=0.5)
    painted = picture()
    painted[16:24, 24:32] = (255, 0, 0)
    result, unpainted = session.edit(painted), session.edit(mask=box(16, 24))
    assert result.mask[16:24, 24:32].all() and result.mask.sum() < 48 * 64 / 4
    assert (result.image[~result.mask] == picture()[~result.mask]).all()
    assert (result.image[16:24, 24:32] != unpainted.image[16:24, 24:32]).any()


def test_reference_pictures_count(pipeline: klein.Pipeline) -> None:
    mask, references = box(16, 24), [picture(30, 41, 5)]
    session = TokenSession(pipeline, picture(), prompt="a harbour", references=references)
    assert session.references[0].shape == (28, 40, 3)
    plain = TokenSession(pipeline, picture(), prompt="a harbour")
    assert (session.edit(mask=mask).image != plain.edit(mask=mask).image).any()
    assert session.recording_nbytes > plain.recording_nbytes


def test_a_large_picture_is_edited_in_windows(pipeline: klein.Pipeline, tmp_path: Path) -> None:
    large = picture(150, 230)
    session = TokenSession(pipeline, large, prompt="a harbour")
    for y, x in ((20, 30), (120, 200)):
        mask, before = box(y, x, 10, (150, 230)), session.original.copy()
        result = session.edit(mask=mask)
        assert result.window.box.size == (64, 64) and result.tokens[1] == 256
        assert (result.image[mask == 0] == before[mask == 0]).all()
        assert (result.image[mask > 0] != before[mask > 0]).any()
        session.commit()
    session.save(tmp_path / "large.sige")
    reopened = TokenSession.open(pipeline, tmp_path / "large.sige")
    assert (reopened.original == session.original).all()
    reopened.undo()
    reopened.undo()
    assert (reopened.original == large).all()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_records_of_less_precision_undo_to_the_bit(pipeline: klein.Pipeline, precision: str) -> None:
    session = TokenSession(pipeline, picture(), prompt="a harbour", precision=precision)  # type: ignore[arg-type]
    before = session.edit(mask=box(32, 40)).image
    session.edit(mask=box(16, 24))
    session.commit()
    session.undo()
    assert (session.edit(mask=box(32, 40)).image == before).all()


def test_a_record_that_memory_has_no_room_for_is_on_the_disk(
    pipeline: klein.Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    held = TokenSession(pipeline, picture(), prompt="a harbour", precision="int8")
    first = held.edit(mask=box(16, 24)).image
    session = TokenSession(pipeline, picture(), prompt="a harbour", precision="int8")
    session._look(session._window_of(session.reader.read(session.source, session.source, box(16, 24))))
    assert session._view
    session._view.engine.recordings.budget = 1 << 10
    assert (session.edit(mask=box(16, 24)).image == first).all()
    assert session._view.engine.recordings.kept.disk == session.plan().recorded
    for of in (held, session):
        of.commit()
    assert (session.edit(mask=box(20, 30)).image == held.edit(mask=box(20, 30)).image).all()
    session.revert()
    session.undo()
    assert (session.edit(mask=box(16, 24)).image == first).all()


def test_an_edit_that_broke_off_cannot_be_committed(pipeline: klein.Pipeline) -> None:
    """Rows of two edits would become one record."""
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    session.edit(mask=box(16, 24))

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("edit", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.edit(mask=box(32, 40), progress=stop)
    with pytest.raises(SigeError, match="nothing to commit"):
        session.commit()
    fresh = TokenSession(pipeline, picture(), prompt="a harbour").edit(mask=box(8, 8)).image
    assert (session.edit(mask=box(8, 8)).image == fresh).all()


@pytest.mark.parametrize("deed", ["commit", "undo"])
def test_what_broke_off_between_steps_leaves_no_record_of_two_pictures(
    pipeline: klein.Pipeline, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    session.edit(mask=box(16, 24))
    if deed == "undo":
        session.commit()
    before, method = session.original, {"commit": "commit", "undo": "exchange"}[deed]
    whole, calls = getattr(KeyValueRecord, method), iter(range(9))

    def broken(self: KeyValueRecord, *given: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return whole(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(KeyValueRecord, method, broken)
        with pytest.raises(KeyboardInterrupt):
            getattr(session, deed)()
    assert session.recording_nbytes == 0 and session.original is before
    assert session.undoable == (deed == "undo")
    session.edit(mask=box(16, 24))
    if deed == "undo":
        session.undo()
        assert (session.original == picture()).all()


def test_what_cannot_be_edited_is_refused(pipeline: klein.Pipeline, tmp_path: Path) -> None:
    with pytest.raises(SigeError, match="there is no original"):
        TokenSession(pipeline, prompt="a sea")
    with pytest.raises(SigeError, match="the strength is 0"):
        TokenSession(pipeline, picture(), strength=0)
    with pytest.raises(SigeError, match="a record in 'int4' is not known"):
        TokenSession(pipeline, picture(), precision="int4")  # type: ignore[arg-type]
    with pytest.raises(SigeError, match=r"would take .* GB .*and 0\.0 GB may be used"):
        TokenSession(pipeline, picture(), limit=1000)
    session = TokenSession(pipeline, picture(), prompt="a harbour")
    for wrong, said in (
        (session.edit, "there is no edit"),
        (session.commit, "nothing to commit"),
        (session.undo, "no commit to undo"),
        (session.redo, "nothing was undone"),
    ):
        with pytest.raises(SigeError, match=said):
            wrong()
    with pytest.raises(SigeError, match="no model that edits by tokens"):
        klein.load("flux2-dev")
    with pytest.raises(SigeError, match="weights of 3 bits are not known"):
        klein.load(klein.TINY, bits=3)
    (tmp_path / "x.sige").write_bytes(b"nothing")
    with pytest.raises(SigeError, match=r"x\.sige cannot be read as a session"):
        TokenSession.open(pipeline, tmp_path / "x.sige")


DAMAGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "a record of other heads": lambda told: told["windows"][0]["steps"]["2"].update(shape=[3, 208, 32]),
    "layers that there are not": lambda told: told["windows"][0]["steps"]["2"]["places"].pop(),
    "a step that there is not": lambda told: told["windows"][0]["steps"].update({"77": {}}),
    "a codec that there is not": lambda told: told["windows"][0]["steps"]["2"].update(codec="int2"),
    "a window outside the picture": lambda told: told["windows"][0].update(box=[9, 9, 48, 64]),
    "other noise": lambda told: told["settings"].update(seed="x"),
    "steps without end": lambda told: told["settings"].update(steps=10**9),
    "references that are not there": lambda told: told["settings"].update(references=9),
    "no settings": lambda told: told.pop("settings"),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_told(
    pipeline: klein.Pipeline, tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    session, path = TokenSession(pipeline, picture(), prompt="a harbour"), tmp_path / "s.sige"
    session.record()
    session.save(path)
    file = Container(path, PURPOSE)
    arrays = {name: file.array(name).copy() for name in file._header}
    told = json.loads(json.dumps(file.told))
    damage(told)
    write(path, PURPOSE, arrays, told)
    with pytest.raises(SigeError, match=r"s\.sige"):
        TokenSession.open(pipeline, path)
