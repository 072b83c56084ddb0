"""What undo keeps, and when it forgets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from sige_mlx.app import protocol
from sige_mlx.app.history import History, Packed, Patch, Values
from sige_mlx.app.painting import Painting
from sige_mlx.app.protocol import Stroke
from sige_mlx.editing.boxes import Box


def test_what_is_packed_comes_back_before_and_after_it_is_compressed() -> None:
    for array in (np.arange(60_000, dtype=np.int32).reshape(3, -1, 4), np.zeros((5, 0), np.uint8), np.ones(3)):
        packed = Packed(array)
        assert np.array_equal(packed.array, array)
        packed.squeeze()
        packed.squeeze()
        assert np.array_equal(packed.array, array) and packed.array.dtype == array.dtype
    flat = Packed(np.zeros((512, 512, 3), np.uint8))
    flat.squeeze()
    assert flat.nbytes < 10_000


def deeds(count: int, history: History, document: SimpleNamespace) -> list[np.ndarray]:
    """So many deeds on a plane of noise, which does not compress; the plane before each of them."""
    rng, states = np.random.default_rng(0), []
    for number in range(count):
        states.append(document.canvas.copy())
        box = Box(*rng.integers(0, 40, 2).tolist(), 24, 24)
        changes = [Patch.of("canvas", box, document.canvas), Values({"number": document.number})]
        box.of(document.canvas)[...] = rng.integers(0, 256, (24, 24, 3))
        document.number = number + 1
        history.add("stroke", changes)
    return states


def noise() -> SimpleNamespace:
    return SimpleNamespace(canvas=np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8), number=0)


def test_deeds_are_taken_back_and_done_again_in_order() -> None:
    document, history = noise(), History(1 << 30)
    states = deeds(20, history, document)
    last = document.canvas.copy()
    history.squeeze()
    for number in reversed(range(20)):
        history.redo.append(history.undo.pop().swapped(document))
        assert np.array_equal(document.canvas, states[number]) and document.number == number
    while history.redo:
        history.undo.append(history.redo.pop().swapped(document))
    assert np.array_equal(document.canvas, last) and document.number == 20


def test_the_oldest_are_forgotten_where_memory_has_no_room() -> None:
    document, history = noise(), History(6 * 24 * 24 * 3 + 100)
    states = deeds(20, history, document)
    history.fit()
    assert history.nbytes <= history.budget and (len(history.undo), history.forgotten) == (6, 14)
    while history.undo:
        history.redo.append(history.undo.pop().swapped(document))
    assert np.array_equal(document.canvas, states[14])


def test_a_later_deed_joins_only_the_last_one() -> None:
    document, history = noise(), History(1 << 30)
    deeds(2, history, document)
    first, last = history.undo
    assert not history.join(first, "render", [Values({"number": 0})])
    assert history.join(last, "render", [Values({"number": 7})])
    last.swapped(document)
    assert len(history.undo) == 2 and document.number == 1
    history.redo.append(history.undo.pop())
    assert not history.join(first, "render", [])


def test_a_stroke_around_a_corner_takes_back_what_it_painted_and_nothing_else() -> None:
    """Its rectangle has blocks that it does not touch."""
    rng = np.random.default_rng(0)
    for points in (
        [(10, 10), (10, 200), (200, 200)],
        [(5, 5), (250, 250)],
        [(200, 10), (10, 10), (10, 200), (240, 240)],
    ):
        before = rng.integers(1, 256, (256, 256, 3)).astype(np.uint8)
        canvas = before.copy()
        painting = Painting(canvas, before)
        drawn = np.array([(*point, 1) for point in points], np.float32)
        painting.add(Stroke(protocol.BRUSH, 1.0, False, False, 1, 4.0, (0, 0, 0), drawn))
        assert (canvas != before).any()
        for patch in painting.patches():
            patch.box.of(canvas)[...] = patch.kept.array
        assert np.array_equal(canvas, before)
