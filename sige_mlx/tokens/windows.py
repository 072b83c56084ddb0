"""Encoders and decoders that run only where an edit is: on a window around it, with the statistics of whole planes.

Without attention and normalisation, what a pixel becomes depends on a neighbourhood; a halo around the edit covers the
part of it that counts. Group norms and attention are what reaches further. Statistics, and keys and values, are those
of whole planes: of a picture that is recorded, or of the edit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import mlx.core as mx
import mlx.nn
import numpy as np
from mlx.utils import tree_unflatten

from sige_mlx import nn
from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.models.unet import AttnBlock
from sige_mlx.tokens.active import touched_cells

GROUP_NORMS = (nn.GroupNorm, mlx.nn.GroupNorm)

QUERIES = 1024
"""Pixels that attend at a time."""

Statistics = Literal["recorded", "estimated", "exact"]

Moments = tuple[mx.array, mx.array]
"""Mean and variance of every group: [B, groups] each."""


@dataclass
class _Planes:
    """What networks of whole planes tell of them, in the order of their norms and attentions."""

    moments: list[Moments] = field(default_factory=list)
    keys_and_values: list[tuple[mx.array, mx.array]] = field(default_factory=list)
    """[B, h, w, C] each."""


class WindowedState(NamedTuple):
    """What a windowed network keeps of a picture."""

    input: mx.array | None
    output: mx.array | None
    planes: _Planes
    small: list[Moments]
    """Of planes of half the size; none where nobody asked."""

    @property
    def nbytes(self) -> int:
        pairs = [*self.planes.moments, *self.planes.keys_and_values, *self.small]
        arrays = [array for array in (self.input, self.output) if array is not None]
        return sum(array.nbytes for array in (*arrays, *(array for pair in pairs for array in pair)))


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


Placed = Callable[[mx.array], tuple[tuple[slice, slice], tuple[slice, slice]]]
"""By a plane: which part of it a window replaces, and by which of its own."""


class _Attention(mlx.nn.Module):
    """Attention over a whole plane, whose keys and values it remembers; or of a window of it over those that it is
    given, in which the window's own stand at their place."""

    def __init__(self, block: AttnBlock):
        super().__init__()
        for name in ("norm", "q", "k", "v", "proj_out"):  # parameters keep their names
            self[name] = block[name]
        self._heads = block.heads
        self._seen: tuple[mx.array, mx.array] | None = None
        self._given: tuple[tuple[mx.array, mx.array], Placed | None] | None = None

    def __call__(self, x: mx.array) -> mx.array:
        h = self.norm(x)
        new = self.k(h), self.v(h)
        if self._given is None:
            self._seen = read = new
        else:
            kept, placed = self._given
            read = self._seen = kept[0][:], kept[1][:]
            if placed is not None:
                for plane, part in zip(read, new, strict=True):
                    at, own = placed(plane)
                    plane[:, at[0], at[1]] = part[:, own[0], own[1]]
        query, keys, values = (
            y.reshape(y.shape[0], -1, self._heads, y.shape[-1] // self._heads).transpose(0, 2, 1, 3)
            for y in (self.q(h), *read)
        )
        # With so wide heads MLX keeps all scores, which of a large plane are gigabytes: some queries at a time.
        attended = mx.concatenate(
            [
                mx.fast.scaled_dot_product_attention(some, keys, values, scale=query.shape[-1] ** -0.5)
                for some in mx.split(query, [*range(QUERIES, query.shape[2], QUERIES)], axis=2)
            ],
            axis=2,
        )
        out: mx.array = self.proj_out(attended.transpose(0, 2, 1, 3).reshape(x.shape))
        return out + x


class WindowedNetwork:
    """An encoder or decoder, an MLX module from planes [B, H, W, C] to planes of another size, run on windows.

    `up` is the output's pixels for one of the input along a side, of a decoder, and `down` the input's for one of the
    output, of an encoder. Windows start at multiples of `down`. `halo` is how many input pixels a window reaches beyond
    the mask. The network's group norms and attentions are put into others that give the same results; of a record
    only their statistics, keys and values are kept, and what went in and came out.
    """

    def __init__(self, network: mlx.nn.Module, up: int = 1, down: int = 1, halo: int = 8):
        self._up, self._down = whole(up, "up", 1), whole(down, "down", 1)
        self._halo = whole(halo, "the halo", 0)
        self._network: Callable[[mx.array], mx.array] = network
        _put(network, AttnBlock, _Attention)
        _put(network, GROUP_NORMS, _Norm)
        # Of an earlier window, too: they remember nothing beyond a call.
        modules = [module for _, module in network.named_modules()]
        self._norms = [module for module in modules if isinstance(module, _Norm)]
        self._attentions = [module for module in modules if isinstance(module, _Attention)]
        self._last: WindowedState | None = None
        self._input: mx.array | None = None
        self._kept = _Planes()
        self._small: list[Moments] = []
        self.output: mx.array | None = None
        """What was recorded: [B, H · up / down, W · up / down, …]."""

    def record(self, x: mx.array) -> mx.array:
        """The network's output of all of `x`, whose statistics are kept; no activation is."""
        self.output, self._kept = self._fresh(x)
        self._small = []
        self._input = x
        mx.eval(self.output, self._kept.moments, self._kept.keys_and_values)
        return self.output

    def window(self, mask: Mask) -> tuple[slice, slice]:
        """Rows and columns of the input that an edit of this mask [H, W] runs the network on."""
        return tuple(  # type: ignore[return-value]
            _reach(np.flatnonzero(mask.any(axis=1 - axis)), self._halo, self._down, mask.shape[axis]) for axis in (0, 1)
        )

    def edit(self, x: mx.array, mask: Mask, statistics: Statistics = "estimated") -> mx.array:
        """The recorded output with the masked pixels' part computed of `x`, an input of the recorded size.

        Statistics are the "recorded" ones; or "exact", those of all of `x`, and so are keys and values, which costs the
        network up to its last norm; or "estimated", the recorded ones moved as those of planes of half the size move,
        at a quarter of that.
        Outside the mask the output is the recorded one to the bit. Raises `SigeError` before anything was recorded.
        """
        if self.output is None or self._input is None:
            raise SigeError("no picture was recorded: call record(…) on the original first")
        if x.shape != self._input.shape or mask.shape != x.shape[1:3]:
            raise SigeError(f"planes of {x.shape} and a mask of {mask.shape} edit a record of {self._input.shape}")
        if not mask.any():
            self._last = self.state
            return self.output
        given = {
            "recorded": lambda _: self._kept,
            "exact": lambda y: self._fresh(y)[1],
            "estimated": lambda y: _Planes(self._estimated(y), self._kept.keys_and_values),
        }
        if statistics not in given:
            raise SigeError(f"statistics are {statistics!r}: they are 'recorded', 'estimated' or 'exact'")
        rows, columns = self.window(mask)
        placed = None if statistics == "exact" else self._placed((rows, columns), mask.shape)
        planes = given[statistics](x)
        computed = self._with(planes, x[:, rows, columns], placed)
        scaled = [slice(s.start * self._up // self._down, s.stop * self._up // self._down) for s in (rows, columns)]
        output = self.output[:]
        inside = mx.array(self._output_mask(mask)[scaled[0], scaled[1]])[None, :, :, None]
        output[:, scaled[0], scaled[1]] = mx.where(inside, computed, output[:, scaled[0], scaled[1]])
        read = [module._seen for module in self._attentions if module._seen is not None]
        for module in self._attentions:
            module._seen = None
        self._last = WindowedState(x, output, _Planes(planes.moments, read), [])
        return output

    def commit(self) -> None:
        """Makes the last edit what is recorded. Raises `SigeError` where there is none."""
        if self._last is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.state, self._last = self._last, None

    @property
    def state(self) -> WindowedState:
        """All that is recorded; set to an earlier one it is recorded again. Nothing writes to its arrays."""
        return WindowedState(self._input, self.output, self._kept, self._small)

    @state.setter
    def state(self, state: WindowedState) -> None:
        self._input, self.output, self._kept, self._small = state

    def _output_mask(self, mask: Mask) -> Mask:
        return touched_cells(mask, self._down).repeat(self._up, 0).repeat(self._up, 1)

    def _fresh(self, x: mx.array) -> tuple[mx.array, _Planes]:
        """The output and what is told of whole planes; who evaluates only these computes nothing after the last."""
        for module in (*self._norms, *self._attentions):
            module._given = None
        output = self._network(x)
        seen = _Planes(*([m._seen for m in of if m._seen is not None] for of in (self._norms, self._attentions)))
        for module in (*self._norms, *self._attentions):
            module._seen = None
        return output, seen

    def _placed(self, window: tuple[slice, slice], size: tuple[int, ...]) -> Placed:
        """Where a window of inputs of a size replaces keys and values: all but half of its halo, where it sees too
        little of what is around it."""

        def placed(plane: mx.array) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
            at, own = [], []
            for span, side, length in zip(window, plane.shape[1:3], size, strict=True):
                smaller = length // side
                start, stop, out = span.start // smaller, span.stop // smaller, self._halo // 2 // smaller
                first, last = start + (out if start else 0), stop - (out if stop < side else 0)
                at.append(slice(first, last))
                own.append(slice(first - start, last - start))
            return (at[0], at[1]), (own[0], own[1])

        return placed

    def _with(self, planes: _Planes, x: mx.array, placed: Placed | None) -> mx.array:
        """The output of a window by what is told of whole planes, in which its own keys and values are placed."""
        for norm, given in zip(self._norms, planes.moments, strict=True):
            norm._given = given
        for attention, kept in zip(self._attentions, planes.keys_and_values, strict=True):
            attention._given = kept, placed
        try:
            output = self._network(x)
            mx.eval(output)
        finally:
            for module in (*self._norms, *self._attentions):
                module._given = None
        return output

    def _estimated(self, x: mx.array) -> list[Moments]:
        if not self._small:
            self._small = self._fresh(_halved(self._input, self._down))[1].moments
        moved, news = [], self._fresh(_halved(x, self._down))[1].moments
        for kept, small, new in zip(self._kept.moments, self._small, news, strict=True):
            ratio = new[1] / mx.maximum(small[1], 1e-12)
            moved.append((kept[0] + new[0] - small[0], kept[1] * ratio))
        return moved


def _put(network: mlx.nn.Module, kinds: Any, other: Callable[[Any], mlx.nn.Module]) -> None:
    """Puts another module in place of every one of some kinds."""
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, kinds)]
    if found:
        network.update_modules(tree_unflatten([(name, other(module)) for name, module in found]))


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
