"""The halves of autoencoders, timed: of all of a picture, by MLX and as programs, and of the window of an edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from statistics import median
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn

from benchmarks.tokens.count import square_mask
from sige_mlx.engine.staged import StagedNetwork
from sige_mlx.models.kl_autoencoder import KLAutoencoderConfig, KLDecoder, KLEncoder
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder
from sige_mlx.tokens.view import HALO
from sige_mlx.tokens.windows import WindowedNetwork

FACTOR = 8

NETWORKS: dict[str, tuple[type, Callable[[Any], mlx.nn.Module]]] = {
    "FLUX.2's decoder": (KLAutoencoderConfig, KLDecoder),
    "FLUX.2's encoder": (KLAutoencoderConfig, KLEncoder),
    "TAEF2's decoder": (TinyAutoencoderConfig, TinyDecoder),
    "TAEF2's encoder": (TinyAutoencoderConfig, TinyEncoder),
}


class Row(NamedTuple):
    """GMACs and seconds of one half."""

    network: str
    macs: float
    window_macs: float
    mlx: float | None
    whole: float
    window: float

    @property
    def share(self) -> float:
        """The ratio of times of the whole and the window, of the ratio of their work."""
        return (self.whole / self.window) / (self.macs / self.window_macs)


def rows(side: int, percent: float, rounds: int, by_mlx: bool = True, **changes: Any) -> Iterator[Row]:
    """Medians of rounds, each of which runs all in turn, with random weights: of a picture of `side`² pixels, and of a
    square of a share of it. `changes` are fields of the configurations."""
    for name, (config, kind) in NETWORKS.items():
        network = kind(config((side, side), **_known(config, changes)))
        mx.eval(network.parameters())
        yield _row(name, network, percent, rounds, by_mlx)


def _known(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(config)}
    return {name: value for name, value in changes.items() if name in names}


def _row(name: str, network: Any, percent: float, rounds: int, by_mlx: bool) -> Row:
    (shape,) = network.inputs().values()
    decodes = name.endswith("decoder")
    pixels, up, down = (1, FACTOR, 1) if decodes else (FACTOR, 1, FACTOR)
    staged = StagedNetwork(network)
    windowed = WindowedNetwork(staged, up, down, HALO * pixels)
    mask = square_mask(shape[1], percent, pixels)
    x, other = mx.random.normal(shape), mx.random.normal(shape)
    window = windowed.window(mask)
    part = (1, *(s.stop - s.start for s in window[:2]), shape[3])
    runs: list[Callable[[], mx.array]] = [lambda: windowed.record(x), lambda: windowed.edit(other, mask)]
    runs += [lambda: network(x)] if by_mlx else []
    mx.eval(x, other, runs[0](), runs[1]())
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, found in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            mx.eval(run())
            found.append(time.perf_counter() - began)
    whole, edit, *dense = map(median, seconds)
    macs = staged.macs(shape) / 1e9, staged.macs(part, shape) / 1e9
    return Row(name, *macs, dense[0] if dense else None, whole, edit)
