"""Encoders and decoders that run only where an edit is: on a window around it, with the statistics of whole planes.

Without attention and normalisation, what a pixel becomes depends on a neighbourhood; a halo around the edit covers the
part of it that counts. Group norms are what reaches further. Their statistics are taken of whole planes: when a picture
is recorded, or of the edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import mlx.core as mx
import mlx.nn
import numpy as np
from mlx.utils import tree_unflatten

from sige_mlx import nn
from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

GROUP_NORMS = (nn.GroupNorm, mlx.nn.GroupNorm)

Statistics = Literal["recorded", "estimated", "exact"]

Moments = tuple[mx.array, mx.array]
"""Mean and variance of every group: [B, groups] each."""


class _Norm(mlx.nn.Module):
    """A group norm by its own statistics, which it remembers, or by those that it is given."""

    def __init__(self, norm: Any):
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias  # parameters keep their names
        self._groups, self._eps = norm.num_groups, norm.eps
        self._seen: Moments | None = None
        self._given: Moments | None = None

    def __call__(self, x: mx.array) -> mx.array:
        groups = x.reshape(x.shape[0], -1, self._groups, x.shape[-1] // self._groups).astype(mx.float32)
        if self._given is not None:
            mean, variance = self._given
        else:
            mean = groups.mean(axis=(1, 3))
            variance = ((groups - mean[:, None, :, None]) ** 2).mean(axis=(1, 3))
            self._seen = mean, variance
        scale = mx.rsqrt(variance + self._eps)[:, None, :, None]
        normal = ((groups - mean[:, None, :, None]) * scale).reshape(x.shape).astype(x.dtype)
        return normal * self.weight + self.bias


class WindowedNetwork:
    """An encoder or decoder, an MLX module from planes [B, H, W, C] to planes of another size, run on windows.

    `up` is the output's pixels for one of the input along a side, of a decoder, and `down` the input's for one of the
    output, of an encoder. Windows start at multiples of `down`. `halo` is how many input pixels a window reaches beyond
    the mask. The network's group norms are put into others that give the same results.
    """

    def __init__(self, network: mlx.nn.Module, up: int = 1, down: int = 1, halo: int = 8):
        self._up, self._down = whole(up, "up", 1), whole(down, "down", 1)
        self._halo = whole(halo, "the halo", 0)
        self._network: Callable[[mx.array], mx.array] = network
        found = [(name, module) for name, module in network.named_modules() if isinstance(module, GROUP_NORMS)]
        if found:
            network.update_modules(tree_unflatten([(name, _Norm(module)) for name, module in found]))
        # Of an earlier window, too: norms remember nothing beyond a call.
        self._norms = [module for _, module in network.named_modules() if isinstance(module, _Norm)]
        self._input: mx.array | None = None
        self._moments: list[Moments] = []
        self._small: list[Moments] = []
        self.output: mx.array | None = None
        """What was recorded: [B, H · up / down, W · up / down, …]."""

    def record(self, x: mx.array) -> mx.array:
        """The network's output of all of `x`, whose statistics are kept; no activation is."""
        self.output, self._moments = self._fresh(x)
        self._small = []
        self._input = x
        mx.eval(self.output, self._moments)
        return self.output

    def window(self, mask: Mask) -> tuple[slice, slice]:
        """Rows and columns of the input that an edit of this mask [H, W] runs the network on."""
        return tuple(  # type: ignore[return-value]
            _reach(np.flatnonzero(mask.any(axis=1 - axis)), self._halo, self._down, mask.shape[axis]) for axis in (0, 1)
        )

    def edit(self, x: mx.array, mask: Mask, statistics: Statistics = "estimated") -> mx.array:
        """The recorded output with the masked pixels' part computed of `x`, an input of the recorded size.

        Statistics are the "recorded" ones; or "exact", those of all of `x`, which costs the network up to its last
        norm; or "estimated", the recorded ones moved as those of planes of half the size move, at a quarter of that.
        Outside the mask the output is the recorded one to the bit. Raises `SigeError` before anything was recorded.
        """
        if self.output is None or self._input is None:
            raise SigeError("no picture was recorded: call record(…) on the original first")
        if x.shape != self._input.shape or mask.shape != x.shape[1:3]:
            raise SigeError(f"planes of {x.shape} and a mask of {mask.shape} edit a record of {self._input.shape}")
        if not mask.any():
            return self.output
        given = {
            "recorded": lambda _: self._moments,
            "exact": lambda y: self._fresh(y)[1],
            "estimated": self._estimated,
        }
        if statistics not in given:
            raise SigeError(f"statistics are {statistics!r}: they are 'recorded', 'estimated' or 'exact'")
        rows, columns = self.window(mask)
        computed = self._with(given[statistics](x), x[:, rows, columns])
        scaled = [slice(s.start * self._up // self._down, s.stop * self._up // self._down) for s in (rows, columns)]
        output = self.output[:]
        inside = mx.array(self._output_mask(mask)[scaled[0], scaled[1]])[None, :, :, None]
        output[:, scaled[0], scaled[1]] = mx.where(inside, computed, output[:, scaled[0], scaled[1]])
        return output

    def _output_mask(self, mask: Mask) -> Mask:
        height, width = (length // self._down for length in mask.shape)
        cut: Mask = np.logical_or.reduce(mask.reshape(height, self._down, width, self._down), axis=(1, 3))
        return cut.repeat(self._up, 0).repeat(self._up, 1)

    def _fresh(self, x: mx.array) -> tuple[mx.array, list[Moments]]:
        """The output and the statistics of whole planes; who evaluates only these computes nothing after the last."""
        for norm in self._norms:
            norm._given = None
        output = self._network(x)
        seen = [norm._seen for norm in self._norms if norm._seen is not None]
        for norm in self._norms:
            norm._seen = None
        return output, seen

    def _with(self, moments: list[Moments], x: mx.array) -> mx.array:
        """The output of a window by these statistics."""
        for norm, given in zip(self._norms, moments, strict=True):
            norm._given = given
        try:
            output = self._network(x)
            mx.eval(output)
        finally:
            for norm in self._norms:
                norm._given = None
        return output

    def _estimated(self, x: mx.array) -> list[Moments]:
        if not self._small:
            self._small = self._fresh(_halved(self._input, self._down))[1]
        moved = []
        for kept, small, new in zip(self._moments, self._small, self._fresh(_halved(x, self._down))[1], strict=True):
            ratio = new[1] / mx.maximum(small[1], 1e-12)
            moved.append((kept[0] + new[0] - small[0], kept[1] * ratio))
        return moved


def _reach(touched: Any, halo: int, multiple: int, length: int) -> slice:
    start, stop = max(int(touched[0]) - halo, 0), min(int(touched[-1]) + 1 + halo, length)
    return slice(start // multiple * multiple, -(-stop // multiple) * multiple)


def _halved(x: Any, multiple: int) -> mx.array:
    """2×2 means; a side stays a multiple of `multiple`, by leaving out its last pixels."""
    height, width = (max(length // (2 * multiple), 1) * multiple for length in x.shape[1:3])
    batch, channels = x.shape[0], x.shape[3]
    if min(x.shape[1:3]) < 2 * multiple:
        return x
    even: mx.array = x[:, : 2 * height, : 2 * width].reshape(batch, height, 2, width, 2, channels).mean(axis=(2, 4))
    return even
