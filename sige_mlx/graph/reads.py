"""This module finds which tiles of recorded planes an edit reads: those around its own, and all where an operation sees
the whole plane; and which tiles read what an edit changes."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Program
from sige_mlx.graph.tiling import Size, Tiling

Held = npt.NDArray[np.bool_]
"""Tiles of a plane: bool (B, ceil(H / tile), ceil(W / tile))."""

Pixels = npt.NDArray[np.bool_]
"""Of a plane: bool (B, H, W)."""

Range = tuple[int, int]
"""First and last."""


def tiles_read(program: Program, tiling: Tiling) -> dict[Any, Held]:
    """Returns which tiles a run of a program reads from each plane that is recorded in tiles, by the plane's key."""
    read: dict[Any, Held] = {}
    for op in program.ops:
        for tensor, view in _views(op):
            if not tensor.stored:
                continue
            seen = np.zeros((tensor.n, -(-tensor.h // tensor.tile), -(-tensor.w // tensor.tile)), np.bool_)
            view.mark(tensor, tiling, seen)
            if tensor.blocks != NONE:
                seen &= tiling.at((tensor.h, tensor.w)).grid < 0  # the others are in blocks
            key = program.buffers[tensor.base].key
            read[key] = read[key] | seen if key in read else seen
    return read


def tiles_touched(program: Program, tiling: Tiling) -> dict[Any, Held]:
    """Returns which tiles a run reads, or puts others in the place of."""
    touched = tiles_read(program, tiling)
    for op in program.ops:
        if isinstance(op, p.Store) and op.stored:
            key = program.buffers[op.dst].key
            active = tiling.at((op.out.h, op.out.w)).grid >= 0
            touched[key] = touched[key] | active if key in touched else active
    return touched


def tiles_reached(program: Program, tiling: Tiling, changed: Mapping[Any, Held]) -> dict[Size, Held]:
    """Returns which tiles of every plane read a changed tile of a recorded one, by the plane's key, or a pixel under
    the mask of the edit, or a plane that the edit computes whole. What attention and norms see of a whole plane is left
    out, as edits leave it out."""
    reached: dict[Size, Held] = {}
    for op in program.ops:
        for tensor, view in _views(op):
            if view.out.list == NONE or (pixels := _changed(program, tensor, tiling, changed)) is None:
                continue
            size, seen = (view.out.h, view.out.w), view.seeing(tensor, pixels)
            reached[size] = reached[size] | seen if size in reached else seen
    return reached


def _changed(program: Program, tensor: p.Tensor, tiling: Tiling, changed: Mapping[Any, Held]) -> Pixels | None:
    """Returns which pixels of a tensor an edit changes; nothing where none can be seen from another tile."""
    if tensor.base == NONE:
        return None
    buffer = program.buffers[tensor.base]
    if tensor.stored:
        if buffer.key not in changed:
            return None
        tiles = changed[buffer.key].repeat(tensor.tile, 1).repeat(tensor.tile, 2)
        return tiles[:, : tensor.h, : tensor.w]
    if buffer.kind is p.Kind.INPUT:
        return tiling.mask
    return np.ones((tensor.n, tensor.h, tensor.w), np.bool_) if buffer.kind is p.Kind.SCRATCH else None


class _View:
    """How an op looks at a tensor: every pixel of its domain sees a window of it."""

    def __init__(
        self,
        out: p.Domain,
        window: tuple[int, int] = (1, 1),
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        resample: int = 0,
        reflect: bool = False,
    ):
        self.out = out
        self.window, self.stride, self.padding = window, stride, padding
        self.resample = resample
        self.reflect = reflect

    def mark(self, tensor: p.Tensor, tiling: Tiling, held: Held) -> None:
        """Marks the tiles of a tensor that are seen."""
        if self.out.list == NONE:
            held[:] = True
            return
        for image, row, column in tiling.at((self.out.h, self.out.w)).rows.tolist():
            top, bottom = self._seen(0, row, self.out.h, tensor.h)
            left, right = self._seen(1, column, self.out.w, tensor.w)
            tile = tensor.tile
            held[image, top // tile : bottom // tile + 1, left // tile : right // tile + 1] = True

    def seeing(self, tensor: p.Tensor, pixels: Pixels) -> Held:
        """Returns which tiles of the domain see one of these pixels of a tensor."""
        count = np.zeros((tensor.n, tensor.h + 1, tensor.w + 1), np.intp)  # of those above and to the left
        count[:, 1:, 1:] = pixels.cumsum(1).cumsum(2)
        sizes = (self.out.h, tensor.h), (self.out.w, tensor.w)
        (top, bottom), (left, right) = (
            np.array([self._seen(axis, tile, *of) for tile in range(-(-of[0] // self.out.tile))]).T
            for axis, of in enumerate(sizes)
        )
        above, below = count[:, top], count[:, bottom + 1]
        seen: Held = (below[:, :, right + 1] - below[:, :, left] - above[:, :, right + 1] + above[:, :, left]) > 0
        return seen

    def _seen(self, axis: int, tile: int, size: int, stored: int) -> Range:
        """Returns the rows, or columns, of a tensor that a tile sees; `size` is that of the plane of the tile."""
        first = tile * self.out.tile * self.stride - self.padding[axis]
        last = (min((tile + 1) * self.out.tile, size) - 1) * self.stride - self.padding[axis] + self.window[axis] - 1
        looks = stored << self.resample if self.resample > 0 else stored >> -self.resample
        if self.reflect:
            first, last = (
                min(first, 2 * (looks - 1) - last) if last >= looks else first,
                max(last, -first) if first < 0 else last,
            )
        first, last = max(first, 0), min(last, looks - 1)
        if self.resample > 0:
            return first >> self.resample, last >> self.resample
        return min(first << -self.resample, stored - 1), min(last << -self.resample, stored - 1)


def _views(op: p.ProgramOp) -> Iterator[tuple[p.Tensor, _View]]:
    """Yields the tensors that an op reads, and how."""
    if isinstance(op, p.Paste):
        yield op.x, _View(p.Domain(op.x.n, op.x.h, op.x.w, op.x.tile))
    if not isinstance(op, p.Convolution):
        return
    for source in op.sources:
        window, padding = (source.kh, source.kw), (source.pad_top, source.pad_left)
        view = _View(op.out, window, source.stride, padding, source.resample, bool(source.pad_mode))
        yield source.x, view
        if source.mod:  # it has the plane that the source looks like
            looks = _View(op.out, window, source.stride, padding, 0, bool(source.pad_mode))
            yield source.mod.gamma, looks
            yield source.mod.beta, looks
    if op.residual:
        yield op.residual, _View(op.out, resample=op.residual_resample)
    for output in op.output:
        if output.mod:
            yield output.mod.gamma, _View(op.out)
            yield output.mod.beta, _View(op.out)
