"""What is edited: a picture that is painted on, or a label map. Both have an original that a session takes, a canvas
that strokes change, and colours to be shown in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sige_mlx.app.history import Change, Packed
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Colours, Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.label_maps import colours
from sige_mlx.editing.labels import Maps
from sige_mlx.label_classes import Classes, palette_of
from sige_mlx.pictures import Size

Given: TypeAlias = Any
"""A `Source`, or `Maps`: whatever the sessions of a subject take."""

Canvas: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) colours, or (H, W) labels."""


class Subject(Protocol):
    """How documents of a kind are handled."""

    kind: str

    def canvas(self, given: Given) -> Canvas:
        """A canvas on which nothing is painted yet; not to be written into."""
        ...

    def shown(self, canvas: Canvas) -> Picture:
        """A canvas, or a part of one, as the page shows it."""
        ...

    def edited(self, given: Given, canvas: Canvas) -> Any:
        """What a session is to edit."""
        ...

    def arrays(self, given: Given) -> list[npt.NDArray[Any] | None]:
        """The arrays of an original, or of a part of one."""
        ...

    def of_arrays(self, given: Given, arrays: list[npt.NDArray[Any] | None]) -> Given:
        """Another original, or a part of it, that is as a given one besides its arrays."""
        ...


class OfPictures:
    """Pictures that are painted on."""

    kind = "picture"

    def canvas(self, given: Source) -> Canvas:
        return given.pixels

    def shown(self, canvas: Canvas) -> Picture:
        return canvas

    def edited(self, given: Source, canvas: Canvas) -> Source:
        return Source("the painted picture", canvas, Colours(canvas))

    def arrays(self, given: Source) -> list[npt.NDArray[Any] | None]:
        return [given.pixels, given.own.rgb, given.own.alpha, given.own.low]

    def of_arrays(self, given: Source, arrays: list[npt.NDArray[Any] | None]) -> Source:
        pixels, rgb, alpha, low = arrays
        assert pixels is not None and rgb is not None
        return replace(given, pixels=pixels, own=given.own._replace(rgb=rgb, alpha=alpha, low=low))


class OfLabels:
    """Label maps of some classes."""

    kind = "labels"

    def __init__(self, classes: Classes):
        self.classes, self._palette = classes, palette_of(classes)

    def canvas(self, given: Maps) -> Canvas:
        return given[0].astype(np.uint8)

    def shown(self, canvas: Canvas) -> Picture:
        return colours(canvas.astype(np.int32), self._palette)

    def edited(self, given: Maps, canvas: Canvas) -> Any:
        return canvas.astype(np.int32)

    def arrays(self, given: Maps) -> list[npt.NDArray[Any] | None]:
        return [*given]

    def of_arrays(self, given: Maps, arrays: list[npt.NDArray[Any] | None]) -> Maps:
        labels, instances = arrays
        assert labels is not None and instances is not None
        return labels, instances


class Part:
    """A rectangle of an original, kept for later: of each of its arrays, in their order, what is in it."""

    def __init__(self, box: Box, kept: list[Packed | None]):
        self.box, self.kept = box, kept

    @classmethod
    def of(cls, subject: Subject, given: Given, box: Box) -> Part:
        """What an original has in a rectangle."""
        return cls(box, [None if of is None else Packed(box.of(of).copy()) for of in subject.arrays(given)])

    @property
    def size(self) -> int:
        """Bytes that it takes when it is not compressed."""
        return sum(kept.size for kept in self.kept if kept)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(kept.nbytes for kept in self.kept if kept)

    def squeeze(self) -> None:
        """Compresses it."""
        for kept in self.kept:
            if kept:
                kept.squeeze()

    def into(self, subject: Subject, given: Given) -> Given:
        """An original with it in its place."""
        arrays: list[npt.NDArray[Any] | None] = []
        for whole, kept in zip(subject.arrays(given), self.kept, strict=True):
            if whole is not None and kept is not None:
                whole = whole.copy()
                self.box.of(whole)[...] = kept.array
            arrays.append(whole)
        return subject.of_arrays(given, arrays)


class Original:
    """A change of the document's original."""

    def __init__(self, part: Part):
        self.part = part

    @property
    def nbytes(self) -> int:
        return self.part.nbytes

    def swap(self, document: Any) -> Change:
        before = Part.of(document.subject, document.given, self.part.box)
        document.given = self.part.into(document.subject, document.given)
        return Original(before)

    def squeeze(self) -> None:
        self.part.squeeze()


def size_of(subject: Subject, given: Given) -> Size:
    """Height and width of an original."""
    first = subject.arrays(given)[0]
    assert first is not None
    return first.shape[0], first.shape[1]
