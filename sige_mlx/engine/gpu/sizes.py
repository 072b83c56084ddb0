"""Sizes of edits that a program is compiled for: a few, so that an edit of a new shape finds everything there."""

from functools import cached_property

import mlx.core as mx
import numpy as np

from sige_mlx.engine.gpu.compiled import Allows, Compiled, Step, allows_all
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Program
from sige_mlx.graph.tiling import Size, Tiling

SIDES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
"""Sides of the squares that sizes are made for, as parts of the image's. Areas are about half of the next size's: the
rows that fill a list up cost a threadgroup that does nothing, and memory that nobody touches."""

ROOM = 1.25
"""What a size has room for, in squares: other shapes touch more tiles than a square of their area."""


TYPICAL = 2
"""The size that kernels are chosen for, for all sizes alike: a kernel takes a second to compile and is at most a few
percent slower on edits of another size (`benchmarks/host`)."""


class Sizes:
    """A program of a network's edits, or commits, compiled for numbers of tiles; a size is a place in `counts`."""

    def __init__(self, lowered: Lowered, dtype: mx.Dtype, allows: Allows = allows_all, program: Program | None = None):
        self._lowered = lowered
        self._program = program or lowered.edit
        self._dtype = dtype
        self._allows = allows
        self._compiled: dict[int, Compiled] = {}

    @cached_property
    def counts(self) -> list[dict[Size, int]]:
        """Tiles of each plane, the smallest size first; the last has all tiles. On small pictures some are alike."""
        whole = self._counts(1)
        room = [{p: int(ROOM * n) + 1 for p, n in self._counts(side).items()} for side in SIDES]
        sizes = [{p: min(n, whole[p]) for p, n in size.items()} for size in room] + [whole]
        return [size for size, following in zip(sizes, [*sizes[1:], None], strict=True) if size != following]

    def of(self, tiling: Tiling) -> int:
        """The smallest size that an edit fits into."""
        counts = ((size[p] >= len(tiling.at(p)) for p in size) for size in self.counts)
        return next(i for i, fits in enumerate(counts) if all(fits))

    @property
    def typical(self) -> int:
        """The size that kernels are chosen for."""
        return min(TYPICAL, len(self.counts) - 1)

    def compiled(self, size: int) -> Compiled:
        """The program for a size."""
        if size not in self._compiled:
            like = None if size == self.typical else self.compiled(self.typical)
            self._compiled[size] = Compiled(self._program, self.counts[size], self._dtype, self._allows, like)
        return self._compiled[size]

    def steps(self, tiling: Tiling) -> list[Step]:
        """The steps of an edit with its tiles in place and none to fill a list up; none for an empty edit."""
        if tiling.empty:
            return []
        like = self.compiled(self.typical)
        return Compiled(self._program, tiling.counts, self._dtype, like=like).on(tiling)

    def _counts(self, side: float) -> dict[Size, int]:
        h, w = self._lowered.image_size
        mask = np.zeros((h, w), np.bool_)
        top, left = int(h * (1 - side) / 2), int(w * (1 - side) / 2)
        mask[top : h - top, left : w - left] = True
        tiling = self._lowered.tiling(mask)
        return {plane: len(tiling.at(plane)) for plane in self._program.planes}
