"""What a page may send to the editor: strokes, messages, and documents that were saved."""

from __future__ import annotations

import json
import os
import struct
from functools import partial

import numpy as np

from sige_mlx.app import protocol, saving
from sige_mlx.app.document import Document
from sige_mlx.app.opening import Catalogue, Opened, of_gallery
from sige_mlx.app.painting import Painting
from sige_mlx.app.saving import Snapshot
from sige_mlx.editing.images import Source
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence
from tests.fuzz.harnesses import sessions
from tests.tiny import original

ROOM = 1 << 24
"""Bytes for what can be undone."""


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
    """Opens a document, and saves it again."""
    path = scratch.file("d.sige", data)
    with one_sentence():
        opened, painted = saving.open_document(path, Catalogue(), "cpu")
        document = _document(opened)
        if painted:
            document.repaint(*painted)
        document.made = True
        saving.save_document(Snapshot.of(document), path)
        saving.open_document(path, Catalogue(), "cpu")


def documents() -> list[bytes]:
    """A picture and a label map, with and without paint."""
    path, made = scratch.folder(os.getpid()) / "seed.sige", []
    small = Source.of(original(12, 9))
    for of in (of_gallery("sea", None, "cpu")._replace(given=small), of_gallery("islands", None, "cpu")):
        if of.subject.kind == "labels":
            of = of._replace(given=tuple(ids[:9, :12].copy() for ids in of.given))
        document = _document(of)
        document.made = True
        for painted in (False, True):
            if painted:
                document.canvas[2:4, 3:5] = 1
            saving.save_document(Snapshot.of(document), path)
            made.append(path.read_bytes())
    return made


def _document(of: Opened) -> Document:
    return Document(of.name, of.subject, of.given, of.settings, of.translates, ROOM)


HARNESSES = {
    "pen": Harness(run_stroke, strokes, mutate.raw),
    "messages": Harness(run_message, messages, lambda rng, data, others: mutate.of_json(rng, data, [b"{}"])),
    "documents": Harness(run_document, documents, partial(sessions.mutated, purpose=saving.PURPOSE)),
}
