"""What pages are told of a document, as the fields of messages."""

from __future__ import annotations

import dataclasses
from typing import Any

from sige_mlx.app.document import Document
from sige_mlx.app.rendering import Request
from sige_mlx.app.subjects import OfLabels


def identity(document: Document) -> dict[str, Any]:
    """What stays as long as the document is open."""
    height, width = document.size
    subject, palette = document.subject, None
    if isinstance(subject, OfLabels):
        named = enumerate(subject.classes)
        palette = [{"value": value, "name": of.name, "colour": hexadecimal(of.colour)} for value, of in named]
    told = {"name": document.name, "kind": subject.kind, "model": document.settings.model, "palette": palette}
    return {**told, "w": width, "h": height}


def state(document: Document, pending: Request | None) -> dict[str, Any]:
    """What changes, with the render or the opening that is waited for."""
    history, last, stale = document.history, document.last, document.stale
    waited = pending and {"seq": pending.seq, "what": "open" if pending.canvas is None else "render"}
    return {
        "revision": document.revision,
        "undo": len(history.undo),
        "redo": len(history.redo),
        "undo_name": history.undo[-1].name if history.undo else None,
        "redo_name": history.redo[-1].name if history.redo else None,
        "edited": document.edited,
        "dirty": document.dirty,
        "result": document.found is not None or (document.translates and document.made),
        "proposed": document.found is not None,
        "stale": [stale.left, stale.top, stale.width, stale.height] if stale else None,
        "variants": variants(document),
        "settings": dataclasses.asdict(document.settings),
        "figures": last.figures if last else None,
        "tiles": last.tiles if last else None,
        "pending": waited,
    }


def variants(document: Document) -> list[dict[str, Any]]:
    """The results of several seeds."""
    return [{"seed": found.seed, "chosen": found is document.found} for found in document.variants]


def hexadecimal(colour: Any) -> str:
    """Red, green and blue as pages write colours."""
    red, green, blue = (int(level) for level in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"
