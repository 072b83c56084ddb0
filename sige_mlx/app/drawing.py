"""The stroke that somebody draws: a deed when it ends, and none if it is given up."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from sige_mlx.app.history import Change, Deed, History, Values
from sige_mlx.app.painting import Painting
from sige_mlx.app.protocol import Stroke
from sige_mlx.app.subjects import Canvas
from sige_mlx.editing.boxes import Box

Key: TypeAlias = tuple[object, int]
"""Who draws, and the number of the stroke among theirs."""


class _Begun(NamedTuple):
    """A stroke, what it paints, and what of the document's values it may change besides."""

    key: Key
    painting: Painting
    before: Values

    @property
    def changes(self) -> list[Change]:
        """What takes back what it did so far; nothing where it did nothing."""
        patches = self.painting.patches()
        return [*patches, self.before] if patches else []


class Drawing:
    """At most one stroke at a time, which may come in parts. One that was ended by something else than its last part
    goes on as the same deed, unless something was done between."""

    def __init__(self, history: History):
        self._history = history
        self._begun: _Begun | None = None
        self._cut: tuple[Key, Deed] | None = None
        """A stroke that was ended by something else than its last part."""

    @property
    def changes(self) -> list[Change]:
        """What takes back what was drawn and is no deed yet."""
        return self._begun.changes if self._begun else []

    def add(self, stroke: Stroke, who: object, canvas: Canvas, original: Canvas, before: Values) -> list[Box]:
        """Paints a stroke, or a part of one, whose first part comes when `before` is the case; ends any other. Returns
        where the canvas changed."""
        key = who, stroke.seq
        if self._begun and self._begun.key != key:
            self.finish()
        if self._begun is None:
            self._begun = _Begun(key, Painting(canvas, original), before)
        return self._begun.painting.add(stroke)

    def end(self) -> Deed | None:
        """Ends the stroke with its last part; returns the deed, if it did anything."""
        deed, self._cut = self.finish(), None
        return deed

    def finish(self) -> Deed | None:
        """Ends the stroke for what is done next; returns the deed, if it did anything."""
        begun, self._begun = self._begun, None
        if begun is None or not (changes := begun.changes):
            return None
        if self._cut and self._cut[0] == begun.key and self._history.join(self._cut[1], "stroke", changes):
            return self._cut[1]
        deed = self._history.add("stroke", changes)
        self._cut = begun.key, deed
        return deed

    def given_up(self, key: Key) -> Deed | None:
        """Ends a stroke for good; returns what takes back what of it is no deed yet."""
        if self._begun is None or self._begun.key != key:
            return None
        begun, self._begun = self._begun, None
        return Deed("stroke", begun.changes, [])

    def cut(self, key: Key) -> bool:
        """Whether the last deed is what was ended of a stroke."""
        deeds = self._history.undo
        return self._cut is not None and self._cut[0] == key and bool(deeds) and deeds[-1] is self._cut[1]

    def left(self, who: object) -> bool:
        """Ends the stroke of somebody who is gone; returns whether there was one."""
        return self._begun is not None and self._begun.key[0] is who and self.finish() is not None
