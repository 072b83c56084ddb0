"""The document that is open: an original, what is painted on it, what a network made of that, and what led there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sige_mlx.app.drawing import Drawing
from sige_mlx.app.flood import area
from sige_mlx.app.history import Change, Deed, History, Patch, Values
from sige_mlx.app.painting import Painted
from sige_mlx.app.protocol import BEFORE, CANVAS, ORIGINAL, RESULT, Layer, Stroke
from sige_mlx.app.results import Found, Settings
from sige_mlx.app.subjects import Canvas, Given, Original, Subject, size_of
from sige_mlx.editing.boxes import Box, extent, union
from sige_mlx.editing.colour import Picture
from sige_mlx.errors import SigeError

Boxes = dict[Layer, list[Box]]
"""Where layers changed."""


class Document:
    """One picture or label map. `translates` says that the network makes another picture of the original than itself,
    which `base` holds as soon as it is known; accepting a result makes the painted canvas the original then, and else
    the result. Methods that change something return where layers changed. Raises `SigeError` for what cannot be
    done."""

    def __init__(
        self, name: str, subject: Subject, given: Given, settings: Settings, translates: bool, budget: int
    ) -> None:
        self.name, self.subject, self.given, self.settings, self.translates = name, subject, given, settings, translates
        self.size = size_of(subject, given)
        if max(self.size) > 0xFFFF:
            raise SigeError(f"{name} is {self.size[1]}×{self.size[0]} pixels: a side of the editor's has at most 65535")
        self._pure: tuple[Given, Canvas] | None = None
        self.canvas: Canvas = subject.canvas(given).copy()
        self.base: Picture | None = np.zeros((*self.size, 3), np.uint8) if translates else None
        self.result: Picture = self.without_result.copy()
        self.made = not translates
        """Whether the result layer shows anything."""
        self.found: Found | None = None
        self.variants: tuple[Found, ...] = ()
        self.version: object = object()
        """Of the original: another one after every change of it, and the same after going back."""
        self.stale: Box | None = None
        self.last: Found | None = None
        """Whose figures are shown."""
        self.history = History(budget)
        self.revision = 0
        self.saved_at = 0
        self.drawing = Drawing(self.history)
        self._painted = Painted(self.size)

    @property
    def original(self) -> Canvas:
        """The canvas on which nothing is painted."""
        if self._pure is None or self._pure[0] is not self.given:
            self._pure = self.given, self.subject.canvas(self.given)
        return self._pure[1]

    @property
    def without_result(self) -> Picture:
        """What the result layer shows where there is no result."""
        return self.subject.shown(self.original) if self.base is None else self.base

    @property
    def seed(self) -> int | None:
        """That of the settings, which follows the variant that is chosen."""
        return self.settings.seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        self.settings.seed = seed

    @property
    def edited(self) -> float:
        """Share of the pixels that are painted, 0 to 1."""
        return self._painted.share

    @property
    def dirty(self) -> bool:
        """Whether there is something that was not saved."""
        return self.revision != self.saved_at

    @property
    def layers(self) -> list[tuple[Layer, Layer | None, list[Box]]]:
        """Those that it has now, each with an earlier one that it is as, if there is one, but for some rectangles."""
        whole = [Box(0, 0, *self.size)]
        found = [self.found.box] if self.found and self.found.box else []
        layers: list[tuple[Layer, Layer | None, list[Box]]] = [
            (ORIGINAL, None, whole),
            (CANVAS, ORIGINAL, self._painted.boxes),
        ]
        if self.base is None:
            return [*layers, (RESULT, ORIGINAL, found)]
        if not self.made:
            return [*layers, (RESULT, None, whole)]
        return [*layers, (BEFORE, None, whole), (RESULT, BEFORE, found)]

    def layer(self, layer: Layer, box: Box) -> Picture:
        """A part of a layer."""
        if layer in (RESULT, BEFORE):
            return box.of(self.result if layer == RESULT or self.base is None else self.base)
        return self.subject.shown(box.of(self.canvas if layer == CANVAS else self.original))

    def paint(self, stroke: Stroke, who: object) -> tuple[Boxes, Deed | None]:
        """A stroke, or a part of one, of somebody who has no other at the same time. The deed is there when it is
        done."""
        self._check_value(stroke.value)
        boxes = self.drawing.add(stroke, who, self.canvas, self.original, Values({"stale": self.stale}))
        self._stales(boxes)
        self._changed(boxes)
        return {CANVAS: boxes}, None if stroke.more else self.drawing.end()

    def abandon(self, who: object, seq: int) -> Boxes:
        """Takes back a stroke that is drawn, as if it had never begun; not what was ended of it before something else
        was done."""
        boxes: list[Box] = []
        if deed := self.drawing.given_up((who, seq)):
            boxes = deed.boxes("canvas")
            deed.swapped(self)
            self._changed(boxes)
        if self.drawing.cut((who, seq)):
            boxes += self._turn(self.history.undo, [], "")[CANVAS]
        return {CANVAS: boxes}

    def steps(self) -> tuple[list[Deed], list[Deed]]:
        """What can be undone and done again, as if the stroke that is drawn had ended."""
        undo, redo = self.history.undo, self.history.redo
        if changes := self.drawing.changes:
            return [*undo, Deed("stroke", changes, [])], []
        return [*undo], [*redo]

    def fill(self, x: float, y: float, value: tuple[int, ...], tolerance: int) -> tuple[Boxes, Deed | None]:
        """Fills the area around a point whose colours are within so many levels of its own, or its label's."""
        self._check_value(value)
        column, row = self._pixel(x, y)
        self.drawing.finish()
        seed = self.canvas[row, column]
        if self.canvas.ndim == 3:
            alike = (np.abs(self.canvas.astype(np.int16) - seed) <= tolerance).all(-1)
        else:
            alike = self.canvas == seed
        mask = area(alike, column, row)
        box = extent(mask)
        assert box is not None
        before: list[Change] = [Patch.of("canvas", box, self.canvas), Values({"stale": self.stale})]
        box.of(self.canvas)[box.of(mask)] = np.array(value if self.canvas.ndim == 3 else value[0], np.uint8)
        self._stales([box])
        self._changed([box])
        return {CANVAS: [box]}, self.history.add("fill", before)

    def rendered(self, found: list[Found], chosen: int, deed: Deed | None) -> Boxes:
        """Takes in what a network made of the canvas as it is; as a part of the deed that asked for it, if there is
        one and it was the last."""
        variants = tuple(found) if len(found) > 1 else ()
        changes, boxes = self._show(found[chosen], variants)
        self.stale = None
        if deed is None or not self.history.join(deed, "render", changes):
            self.history.add("render", changes)
        return boxes

    def choose(self, variant: int) -> Boxes:
        """Makes another of the variants the result, and its seed that of what follows."""
        if variant >= len(self.variants):
            raise SigeError(f"there is no variant {variant + 1}: there are {len(self.variants)}")
        if self.found is self.variants[variant]:
            return {}
        changes, boxes = self._show(self.variants[variant], self.variants)
        self.history.add("choose", changes)
        return boxes

    def accept(self) -> Boxes:
        """Makes the result the original."""
        self.drawing.finish()
        found = self.found
        if found is None:
            raise SigeError("there is no result to accept: render first")
        if self.stale is not None:
            raise SigeError("what was painted since has not been rendered: render it, or undo it, and then accept")
        boxes = [box for box in (found.part and found.part.box, self._painted.extent) if box]
        changes: list[Change] = [Patch.of("canvas", box, self.canvas) for box in boxes]
        values = {name: getattr(self, name) for name in ("found", "variants", "version")}
        if self.base is not None and found.box:
            changes.append(Patch.of("base", found.box, self.base))
            found.box.of(self.base)[...] = found.box.of(self.result)
        if found.part:
            before = Original(found.part).swap(self)
            changes.append(before)
        self.found, self.variants, self.version = None, (), found
        for box in boxes:
            box.of(self.canvas)[...] = box.of(self.original)
        self._changed(boxes)
        self.history.add("accept", [*changes, Values(values)])
        changed: Boxes = {ORIGINAL: boxes, CANVAS: boxes}
        if self.base is not None and found.box:
            changed[BEFORE] = [found.box]
        return changed

    def reject(self) -> Boxes:
        """Takes the result away; where there is none, what is painted."""
        self.drawing.finish()
        if self.found is not None:
            changes, boxes = self._show(None, ())
            self.stale = None
            self.history.add("reject", changes)
            return boxes
        box = self._painted.extent
        if box is None:
            raise SigeError("there is nothing to reject: no result, and no paint")
        before: list[Change] = [Patch.of("canvas", box, self.canvas), Values({"stale": self.stale})]
        box.of(self.canvas)[...] = box.of(self.original)
        self.stale = None
        self._changed([box])
        self.history.add("reject", before)
        return {CANVAS: [box]}

    def undo(self) -> Boxes:
        """Takes the last deed back."""
        self.drawing.finish()
        return self._turn(self.history.undo, self.history.redo, "there is nothing to undo")

    def redo(self) -> Boxes:
        """Does again what was undone last."""
        self.drawing.finish()
        return self._turn(self.history.redo, self.history.undo, "nothing was undone that could be done again")

    def repaint(self, box: Box, canvas: Canvas) -> None:
        """Takes in what was painted before it was opened. This is no deed."""
        box.of(self.canvas)[...] = canvas
        self._changed([box])

    def begins(self, picture: Picture) -> Boxes:
        """Takes in what a network makes of the original, where that is another picture. This is no deed."""
        assert self.base is not None
        self.base[...] = picture
        self.show_found()
        self.made, clean = True, not self.dirty
        self.revision += 1
        if clean:
            self.saved_at = self.revision
        whole = [Box(0, 0, *self.size)]
        return {BEFORE: whole, RESULT: whole}

    def show_found(self, boxes: list[Box] | None = None) -> None:
        """Makes the result layer anew, in some rectangles or all of it: what it shows without a result, and on it the
        result. It is never anything else than that, whatever led there."""
        for box in boxes or [Box(0, 0, *self.size)]:
            box.of(self.result)[...] = box.of(self.without_result)
        if self.found and self.found.box and self.found.pixels:
            self.found.box.of(self.result)[...] = self.found.pixels.array

    def pick(self, x: float, y: float, layer: int) -> tuple[list[int], npt.NDArray[np.uint8]]:
        """The value of a pixel, and its colour: of labels the label, but of the result layer's the colour."""
        column, row = self._pixel(x, y)
        if layer == RESULT:
            colour = self.result[row, column]
            return colour.tolist(), colour
        value = (self.canvas if layer == CANVAS else self.original)[row : row + 1, column : column + 1]
        return np.atleast_1d(value[0, 0]).tolist(), self.subject.shown(value)[0, 0]

    def _show(self, found: Found | None, variants: tuple[Found, ...]) -> tuple[list[Change], Boxes]:
        """Has the result layer show a result, or none; returns what takes it back, and where it changed."""
        names = ("found", "variants", "last", "stale", "made", "seed")
        before = Values({name: getattr(self, name) for name in names})
        shown, self.found, self.variants, self.made = self.found, found, variants, True
        if found:
            self.last = found
            self.seed = found.seed
        self.revision += 1
        return [before], self._shown_instead_of(shown)

    def _shown_instead_of(self, found: Found | None) -> Boxes:
        """Has the result layer show the result that is instead of the one that was; returns where it may change."""
        boxes = [of.box for of in (found, self.found) if of and of.box and found is not self.found]
        if boxes:
            self.show_found(boxes)
        return {RESULT: boxes}

    def _turn(self, source: list[Deed], target: list[Deed], empty: str) -> Boxes:
        if not source:
            raise SigeError(empty + (": older steps were forgotten for memory" * bool(self.history.forgotten)))
        deed = source[-1]
        accepts = any(isinstance(change, Original) for change in deed.changes)
        canvas, before, found = deed.boxes("canvas"), deed.boxes("base"), self.found
        target.append(deed.swapped(self))
        source.pop()
        self._changed(canvas)
        boxes: Boxes = {CANVAS: canvas, BEFORE: before, **self._shown_instead_of(found)}
        if accepts:
            boxes[ORIGINAL] = canvas
        return boxes

    def _stales(self, boxes: list[Box]) -> None:
        """Notes what is painted while there is a result, which does not show it."""
        if self.found is not None and boxes:
            self.stale = union([*boxes, self.stale] if self.stale else boxes)

    def _changed(self, boxes: Iterable[Box]) -> None:
        """Counts anew what is painted, where the canvas or the original changed."""
        self.revision += 1
        self._painted.count(boxes, self.canvas, self.original)

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        column, row = int(np.floor(x)), int(np.floor(y))
        if not (0 <= column < self.size[1] and 0 <= row < self.size[0]):
            raise SigeError("the point is beside the picture")
        return column, row

    def _check_value(self, value: tuple[int, ...]) -> None:
        classes = getattr(self.subject, "classes", None)
        if classes is not None and value[0] >= len(classes):
            raise SigeError(f"there is no label {value[0]}: this model knows 0 to {len(classes) - 1}")
