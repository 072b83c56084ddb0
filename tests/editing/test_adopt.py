"""Originals that a session takes over from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing import EditSession, LabelSession
from sige_mlx.editing.base import Session
from sige_mlx.errors import SigeError
from tests.tiny import edited_labels, label_engine, labels, original, painted, tiny_engine


def sessions() -> tuple[EditSession, EditSession]:
    """Two of one picture, which share an engine."""
    engine = tiny_engine()
    return EditSession(engine, original(), steps=3), EditSession(engine, original(), steps=3)


def test_it_is_as_if_the_session_had_committed_it() -> None:
    one, other = sessions()
    one.edit(painted())
    other.edit(painted())
    other.adopt(one.proposed)
    one.commit()
    assert np.array_equal(one.original, other.original) and other.pending is None
    further = one.original.copy()
    further[24:28, 20:26] = 9
    assert np.array_equal(one.edit(further).image, other.edit(further).image)
    other.undo()
    assert np.array_equal(other.original, original())
    assert np.array_equal(other.edit(painted()).mask, EditSession(one.engine, original(), steps=3).mask(painted()))


def test_the_same_original_is_no_change() -> None:
    one, _ = sessions()
    one.edit(painted())
    one.adopt(one.source)
    assert one.undoable == one.behind == 0 and one.pending is None


def test_maps_are_adopted_with_their_instances() -> None:
    engine = label_engine()
    one, other = LabelSession(engine, labels()), LabelSession(engine, labels())
    one.edit(edited_labels())
    other.record()
    other.adopt(one.proposed)
    one.commit()
    assert all(np.array_equal(a, b) for a, b in zip(one.original, other.original, strict=True))
    assert np.array_equal(one.edit(labels()).image, other.edit(labels()).image)


def opaque_and_not() -> tuple[Session, object]:
    see_through = Image.fromarray(np.dstack([original(), np.full((32, 32), 99, np.uint8)]))
    engine = tiny_engine()
    return EditSession(engine, original(), steps=2), EditSession(engine, see_through, steps=2).source


def larger() -> tuple[Session, object]:
    engine = tiny_engine()
    return EditSession(engine, original(), steps=2), EditSession(engine, original(40), steps=2).source


def other_maps() -> tuple[Session, object]:
    engine = label_engine()
    return LabelSession(engine, labels()), LabelSession(engine, np.tile(labels(), (2, 1))).original


@pytest.mark.parametrize("pair", [opaque_and_not, larger, other_maps])
def test_another_picture_is_refused(pair) -> None:  # type: ignore[no-untyped-def]
    session, given = pair()
    with pytest.raises(SigeError, match=r"transparency differ|different sizes"):
        session.adopt(given)


def test_nothing_is_proposed_before_an_edit() -> None:
    with pytest.raises(SigeError, match="nothing is pending"):
        sessions()[0].proposed  # noqa: B018
