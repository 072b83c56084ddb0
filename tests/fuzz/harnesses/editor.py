"""What a page may send to the editor: strokes, messages, and documents that were saved."""

from __future__ import annotations

import json
import os
import struct
from functools import partial
from typing import Any

import numpy as np

from sige_mlx.app import protocol, saving
from sige_mlx.app.document import Document
from sige_mlx.app.history import Packed
from sige_mlx.app.opening import Catalogue, of_gallery
from sige_mlx.app.painting import Painting
from sige_mlx.app.results import Found
from sige_mlx.app.saving import Snapshot
from sige_mlx.app.steps import NUMBERS
from sige_mlx.app.subjects import Part
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.images import Source
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence
from tests.fuzz.harnesses import sessions
from tests.tiny import original

ROOM = 1 << 24
"""Bytes for what can be undone."""

CORNERS = np.array([[3, 3, 1], [6, 5, 1]], np.float32)
"""Of what is painted on documents."""


def run_stroke(data: bytes) -> None:
    """Paints what is a stroke, and takes it back."""
    canvas = original(40, 32)
    with one_sentence():
        painting = Painting(canvas, original(40, 32))
        boxes = painting.add(protocol.stroke(data))
        assert all(box.within((40, 32)) for box in boxes)
        for patch in painting.patches():
            patch.box.of(canvas)[...] = patch.kept.array
    assert np.array_equal(canvas, original(40, 32))


def strokes() -> list[bytes]:
    """One of each tool."""
    points = struct.pack("<9f", 1, 2, 0.5, 20, 30, 1, 25, 8, 0)
    return [protocol.STROKE.pack(1, tool, 200, 1, 7, 4.5, 250, 9, 0, 0) + points for tool in range(5)]


def run_message(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    protocol.seq_of(text)
    with one_sentence():
        told = protocol.message(text)
        protocol.numbers(told, "value", 0, 255, range(1, 5))


def messages() -> list[bytes]:
    """Some of a page's."""
    told = [
        {"t": "fill", "seq": 1, "x": 3.5, "y": 2, "value": [1, 2, 3], "tolerance": 8},
        {"t": "choose", "seq": 4294967295, "variant": 2},
        {"t": "hello"},
    ]
    return [json.dumps(message).encode() for message in told]


def run_document(data: bytes) -> None:
    """Opens a document, goes back and forth in it, and saves it again."""
    path = scratch.file("d.sige", data)
    with one_sentence():
        document = saving.open_document(path, Catalogue(), "cpu", ROOM)
        while document.history.undo:
            document.undo()
        while document.history.redo:
            document.redo()
        document.made = True
        saving.save_document(Snapshot.of(document), path)
        saving.open_document(path, Catalogue(), "cpu", ROOM)


def documents() -> list[bytes]:
    """A picture and a label map: as they were opened, with paint of which a step is undone, with two variants, and with
    one of them accepted."""
    made = []
    small = Source.of(original(12, 9))
    for of in (of_gallery("sea", None, "cpu")._replace(given=small), of_gallery("islands", None, "cpu")):
        if of.subject.kind == "labels":
            of = of._replace(given=tuple(ids[:9, :12].copy() for ids in of.given))
        document = Document(*of, ROOM)
        document.made = True
        made.append(_saved(document))
        stroke = protocol.Stroke(protocol.BOX, 1, False, False, 1, 1, (2, 2, 2), CORNERS)
        document.paint(stroke, None)
        document.fill(0, 0, (1, 1, 1), 8)
        document.undo()
        made.append(_saved(document))
        document.rendered([_found(document, seed) for seed in (3, 4)], 0, None)
        document.choose(1)
        made.append(_saved(document))
        document.accept()
        document.fill(0, 0, (1, 1, 1), 8)
        document.undo()
        made.append(_saved(document))
    return made


def _saved(document: Document) -> bytes:
    path = scratch.folder(os.getpid()) / "seed.sige"
    saving.save_document(Snapshot.of(document), path)
    return path.read_bytes()


def _found(document: Document, seed: int) -> Found:
    """What a network might have made of a canvas."""
    box = Box(2, 2, 6, 7)
    part = Part.of(document.subject, document.given, box)
    figures: Any = dict.fromkeys(NUMBERS, 1.5) | {"dense_ms": None, "way": "tiles", "window": [0, 0, 12, 9]}
    tiles = {"size": 4.0, "x": 0, "y": 0, "w": 12, "h": 9, "active": [[0, 0], [1, 1]]}
    pixels = Packed(np.full((*box.size, 3), seed, np.uint8))
    return Found(seed, part, box, pixels, figures, tiles, ("a note",))


HARNESSES = {
    "pen": Harness(run_stroke, strokes, mutate.raw),
    "messages": Harness(run_message, messages, lambda rng, data, others: mutate.of_json(rng, data, [b"{}"])),
    "documents": Harness(run_document, documents, partial(sessions.mutated, purpose=saving.PURPOSE)),
}
