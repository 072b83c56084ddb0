"""One pair of layers at klein's real width, timed: all tokens, and an edit's over a record."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import mlx.core as mx

from benchmarks.tokens.count import square
from sige_mlx.tokens import TokenEngine, TokenPlane
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.flux2 import Flux2Tokens, member
from sige_mlx.tokens.plan import TEXT_TOKENS


class Timed(NamedTuple):
    """Seconds of a dense pass and of an edit of a double and a single layer, and their work."""

    dense: float
    edit: float
    dense_macs: int
    edit_macs: int

    @property
    def share(self) -> float:
        """The ratio of times, of the ratio of work."""
        return (self.dense / self.edit) / (self.dense_macs / self.edit_macs)


def timed(side: int, percent: float, rounds: int, text: int = TEXT_TOKENS, heads: int = 24) -> Timed:
    """Medians of rounds, a dense pass and an edit in turn, in float32 with random weights."""
    sizes = replace(Flux2Sizes(), double_layers=1, single_layers=1, heads=heads)
    make = member("mflux.models.flux2.model.flux2_transformer.transformer", "Flux2Transformer")
    transformer = make(num_layers=1, num_single_layers=1, num_attention_heads=heads)
    plane = TokenPlane(side // 16, side // 16)
    active = square(side, percent, 1, text)
    engine = TokenEngine(Flux2Tokens(transformer, plane), "float32")
    image = mx.random.normal((1, plane.count, sizes.channels))
    words = mx.random.normal((1, text, sizes.text_width))
    some, word = image[:, mx.array(active.image)], words[:, :1]
    mx.eval(transformer.parameters(), image, words, some, word)
    mx.eval(engine.record(0, image, words, 0.5), engine.edit(0, some, word, 0.5, active))
    dense, edit = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        mx.eval(engine.dense(image, words, 0.5))
        middle = time.perf_counter()
        mx.eval(engine.edit(0, some, word, 0.5, active))
        dense.append(middle - start)
        edit.append(time.perf_counter() - middle)
    macs = sizes.macs(active, recorded=False), sizes.macs(active)
    return Timed(median(dense), median(edit), *macs)
