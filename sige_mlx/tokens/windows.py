"""Encoders and decoders that run only where an edit is: on a window around it, with the statistics of whole planes.

Without attention and normalisation, what a pixel becomes depends on a neighbourhood; a halo around the edit covers the
part of it that counts. Group norms and attention are what reaches further. Statistics, and keys and values, are those
of whole planes: of a picture that is recorded, in which the window's own take the place of what was there.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import mlx.core as mx
import numpy as np

from sige_mlx.arguments import whole
from sige_mlx.engine.cells import Window
from sige_mlx.engine.staged import Planes, StagedNetwork
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.tokens.active import touched_cells

Statistics = Literal["recorded", "followed", "exact"]


class WindowedState(NamedTuple):
    """What a windowed network keeps of a picture: what went in and came out, and of planes between what windows read.
    Nothing writes to its arrays."""

    input: mx.array
    output: mx.array
    planes: Planes

    @property
    def nbytes(self) -> int:
        return self.input.nbytes + self.output.nbytes + self.planes.nbytes


class WindowedNetwork:
    """An encoder or decoder, from planes [B, H, W, C] to planes of another size, run on windows.

    `up` is the output's pixels for one of the input along a side, of a decoder, and `down` the input's for one of the
    output, of an encoder. `halo` is how many input pixels a window reaches beyond the mask, at least: windows are made
    of the network's cells, and have few sizes, of which each is compiled once.

        decoder = WindowedNetwork(StagedNetwork(autoencoder.decoder), up=8)
        picture = decoder.record(latents)
        edited = decoder.edit(changed, mask)
    """

    def __init__(self, network: StagedNetwork, up: int = 1, down: int = 1, halo: int = 8):
        self._up, self._down = whole(up, "up", 1), whole(down, "down", 1)
        self._halo = whole(halo, "the halo", 0)
        self._network = network
        self._last: WindowedState | None = None
        self.state: WindowedState | None = None
        """All that is recorded; set to an earlier one it is recorded again."""

    def record(self, x: mx.array) -> mx.array:
        """The network's output of all of `x`, whose statistics are kept; no activation is."""
        output, planes = self._network.whole(x)
        self.state = WindowedState(x, output, planes)
        return output

    def window(self, mask: Mask) -> Window:
        """Rows and columns of the input that an edit of this mask [H, W] runs the network on."""
        spans = [
            _reach(np.flatnonzero(mask.any(axis=1 - axis)), self._halo, self._network.cell, mask.shape[axis])
            for axis in (0, 1)
        ]
        (rows, inner_rows), (columns, inner_columns) = spans
        return Window(rows, columns, inner_rows, inner_columns)

    def edit(self, x: mx.array, mask: Mask, statistics: Statistics = "followed") -> mx.array:
        """The recorded output with the masked pixels' part computed of `x`, an input of the recorded size.

        Statistics are the "recorded" ones; or "followed", these with the window's own pixels in the place of the
        recorded ones, which costs nothing; or "exact", those of all of `x`, which costs the dense pass. Outside the
        mask the output is the recorded one to the bit. Raises `SigeError` before anything was recorded.
        """
        if self.state is None:
            raise SigeError("no picture was recorded: call record(…) on the original first")
        if x.shape != self.state.input.shape or mask.shape != x.shape[1:3]:
            raise SigeError(f"planes of {x.shape} and a mask of {mask.shape} edit a record of {self.state.input.shape}")
        if statistics not in get_args(Statistics):
            raise SigeError(f"statistics are {statistics!r}: they are 'recorded', 'followed' or 'exact'")
        if not mask.any():
            self._last = self.state
            return self.state.output
        window = self.window(mask)
        at = tuple(slice(s.start * self._up // self._down, s.stop * self._up // self._down) for s in window[:2])
        if statistics == "exact":
            dense, planes = self._network.whole(x)
            computed = dense[:, at[0], at[1]]
        else:
            computed, planes = self._network.window(x, window, self.state.planes, statistics == "followed")
        output = self.state.output[:]
        inside = mx.array(self._output_mask(mask)[at])[None, :, :, None]
        output[:, at[0], at[1]] = mx.where(inside, computed, output[:, at[0], at[1]])
        mx.eval(output)
        self._last = WindowedState(x, output, planes)
        return output

    def commit(self) -> None:
        """Makes the last edit what is recorded. Raises `SigeError` where there is none."""
        if self._last is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.state, self._last = self._last, None

    def _output_mask(self, mask: Mask) -> Mask:
        return touched_cells(mask, self._down).repeat(self._up, 0).repeat(self._up, 1)


def _reach(touched: Any, halo: int, cell: int, length: int) -> tuple[slice, slice]:
    """A window's span in whole cells along an axis, that of its interior, which leaves out half of the halo at sides
    where the plane goes on. Windows of up to eight cells have any number of them, larger ones some numbers."""
    first, last, cells = int(touched[0]), int(touched[-1]), -(-length // cell)
    start, stop = max(first - halo, 0) // cell, min(-(-(last + 1 + halo) // cell), cells)
    step = 1 << max((stop - start - 1).bit_length() - 3, 0)
    stop = min(start + -(-(stop - start) // step) * step, cells)
    start = max(min(start, stop - -(-(stop - start) // step) * step), 0)
    begins = 0 if start == 0 else min(-(-(start * cell + halo // 2) // cell), first // cell)
    ends = cells if stop == cells else max((stop * cell - halo // 2) // cell, last // cell + 1)
    spans = (slice(a * cell, min(b * cell, length)) for a, b in ((start, stop), (begins, ends)))
    return next(spans), next(spans)
