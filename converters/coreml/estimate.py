"""Estimated statistics in packages. A dense pass at half the size tells how an edit moves the statistics of norms, as
in `sige_mlx.engine.estimates`; a function gives what edits take in the place of the recorded ones."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from sige_mlx.converters.coreml.borders import recorded_name
from sige_mlx.converters.coreml.builder import Builder
from sige_mlx.converters.coreml.statistics import affine
from sige_mlx.converters.coreml.translate import Translator
from sige_mlx.engine.weights import Loader, floats
from sige_mlx.graph.fusion import Embedding, FusedNorm
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Kind


class Estimate:
    """It is of a network, and of the same network at half the size. All of it is computed in float32 but the pass
    itself."""

    def __init__(self, lowered: Lowered, small: Lowered, load: Loader, half: bool):
        self.lowered, self.small, self.load, self.half = lowered, small, load, half
        self.norms = lowered.renewed

    @cached_property
    def keys(self) -> list[Any]:
        """Estimates begin from these arrays of a recording, besides the moments at half the size."""
        return [
            *(("moments", norm.value) for norm in self.norms),
            *(("gain", norm.value) for norm in self.norms if norm.film is not None),
        ]

    @cached_property
    def takes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of what an estimate takes besides the inputs of the network."""
        found: dict[str, tuple[int, ...]] = {}
        for norm in self.norms:
            for what in ("moments", "small"):
                found[recorded_name((what, norm.value))] = (self.lowered.batch, 2, norm.groups)
            if norm.film is not None:
                found[recorded_name(("gain", norm.value))] = (self.lowered.batch, 2, self._channels(norm))
        return found

    def measured(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the moments of norms at half the size, [N, 2, groups], by what a recording calls them. `inputs` are
        those of the network at its own size."""
        program, size = self.small.measuring, self.lowered.image_size
        of = Translator(self.small.groups, program, self.load, self.small.tile, self.half)
        given = {
            name: shrunk(of.mb, x, self.small.image_size) if x.shape[2:] == size else x for name, x in inputs.items()
        }
        for slot, buffer in enumerate(program.buffers):
            if buffer.kind is Kind.INPUT:
                embedded = isinstance(buffer.key, Embedding)
                x = given[buffer.key.input if embedded else buffer.key]
                of.values[slot] = of.embedding(buffer.key, x) if embedded else x
        of.translate()
        moments = {buffer.key[1]: slot for slot, buffer in enumerate(program.buffers) if buffer.kind is Kind.RECORDED}
        return {recorded_name(("small", norm.value)): of.values[moments[norm.value]] for norm in self.norms}

    def estimated(self, measured: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns scales and shifts of norms, [N, C, 1, 1], by what a recording calls them. Every mean moves by the
        difference, and every variance by the ratio, that the passes at half the size show."""
        exact, found = Builder(False), {}
        for norm in self.norms:
            n, g, c = self.lowered.batch, norm.groups, self._channels(norm)
            small = recorded_name(("small", norm.value))
            (mean, variance), (before, before_var), (after, after_var) = (
                [
                    exact.reshape(x=exact.slice_by_size(x=x, begin=[0, i, 0], size=[n, 1, g]), shape=[n, g, 1])
                    for i in (0, 1)
                ]
                for x in (given[recorded_name(("moments", norm.value))], given[small], measured[small])
            )
            eps = np.float32(norm.eps)
            mean = exact.add(x=mean, y=exact.sub(x=after, y=before))
            ratio = exact.real_div(x=exact.add(x=after_var, y=eps), y=exact.add(x=before_var, y=eps))
            variance = exact.sub(x=exact.mul(x=exact.add(x=variance, y=eps), y=ratio), y=eps)
            variance = exact.maximum(x=variance, y=np.float32(0))
            scale, shift = affine(exact, mean, variance, *self._gain(exact, norm, given), norm.eps)
            for what, x in (("scale", scale), ("shift", shift)):
                found[recorded_name((what, norm.value))] = exact.reshape(x=x, shape=[n, c, 1, 1])
        return found

    def _channels(self, norm: FusedNorm) -> int:
        return self.lowered.graph.nodes[norm.value].shape[-1]

    def _gain(self, exact: Builder, norm: FusedNorm, given: Mapping[str, Any]) -> tuple[Any, Any]:
        """Returns what a norm does to a channel of mean 0 and variance 1, by group."""
        n, g, c = self.lowered.batch, norm.groups, self._channels(norm)
        if norm.film is None:
            weight = np.ones(c, np.float32) if norm.weight is None else floats(self.load, norm.weight)
            bias = np.zeros(c, np.float32) if norm.bias is None else floats(self.load, norm.bias)
            return weight.reshape(1, g, c // g), bias.reshape(1, g, c // g)
        gain = given[recorded_name(("gain", norm.value))]
        first, second = (
            exact.reshape(x=exact.slice_by_size(x=gain, begin=[0, i, 0], size=[n, 1, c]), shape=[n, g, c // g])
            for i in (0, 1)
        )
        return first, second


def shrunk(mb: Builder, x: Any, size: tuple[int, int]) -> Any:
    """Returns images [N, C, H, W] at a smaller size, every pixel the mean of the area that it covers."""
    down, across = (_means(before, after) for before, after in zip(x.shape[2:], size, strict=True))
    return mb.matmul(x=mb.matmul(x=down[None, None], y=x), y=across.T[None, None])


def _means(before: int, after: int) -> Any:
    """Returns the matrix that takes a line of pixels to a shorter one."""
    edges = np.arange(after + 1) * (before / after)
    low = np.maximum(edges[:-1, None], np.arange(before))
    high = np.minimum(edges[1:, None], np.arange(1, before + 1))
    return (np.maximum(high - low, 0) * (after / before)).astype(np.float32)
