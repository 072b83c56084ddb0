"""Sessions whose originals are pictures."""

from __future__ import annotations

import numpy as np

from sige_mlx.editing.base import Session
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.windows import Window
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size


class OfPictures(Session[Source]):
    """A session that edits a picture, with all that a file of it has."""

    @property
    def source(self) -> Source:
        """The original with all that a file of it has."""
        return self.given

    @property
    def original(self) -> Picture:
        """As the network sees it: (H, W, 3), sRGB."""
        return self.source.pixels

    def _seen(self, given: Source, window: Window) -> Picture:
        return window.seen(given.pixels)

    def _read(self, given: Source, size: Size) -> Source:
        return Source.of(given, size)

    @staticmethod
    def _size(given: Source) -> int:
        return given.nbytes

    @staticmethod
    def _part(given: Source, box: Box) -> Source:
        return given.part(box)

    @staticmethod
    def _patched(given: Source, box: Box, part: Source) -> Source:
        return given.patched(box, part)

    @staticmethod
    def _differ(one: Source, other: Source) -> Mask:
        pairs = [
            (one.pixels, other.pixels),
            (one.own.rgb, other.own.rgb),
            (one.own.alpha, other.own.alpha),
            (one.own.low, other.own.low),
        ]
        if any(a is not b and (a is None or b is None or a.shape != b.shape) for a, b in pairs):
            raise SigeError(f"{other.name} is not the same picture as {one.name}: size, depth or transparency differ")
        differs = np.zeros(one.size, np.bool_)
        for a, b in pairs:
            if a is not None and b is not None and a is not b:
                differs |= a != b if a.ndim == 2 else (a != b).any(-1)
        return differs
