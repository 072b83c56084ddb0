"""One pair of layers at klein's real width, timed: all tokens, and an edit's over a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, NamedTuple

import mlx.core as mx

from benchmarks.tokens.count import square
from sige_mlx.tokens import ActiveTokens, TokenEngine, TokenPlane
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.flux2 import Flux2Tokens, member
from sige_mlx.tokens.plan import TEXT_TOKENS

SHARE = 0.1
"""Of a dense pass's time, that an edit is repeated for in its turn: one alone is over too soon to be timed."""


class Timed(NamedTuple):
    """Medians of a dense pass and of an edit of a double and a single layer, in seconds, and their work."""

    percent: float
    text: int
    """Active text tokens: one where the prompt is kept."""
    dense: float
    edit: float
    dense_macs: int
    edit_macs: int

    @property
    def share(self) -> float:
        """The ratio of times, of the ratio of work."""
        return (self.dense / self.edit) / (self.dense_macs / self.edit_macs)


@dataclass
class _Edit:
    """An edit that is timed."""

    percent: float
    words: int
    active: ActiveTokens
    run: Callable[[], mx.array]
    seconds: list[float] = field(default_factory=list)


def timed(
    side: int,
    percents: Sequence[float],
    words: int,
    seconds: float,
    tell: Callable[[str], None] = lambda line: None,
    text: int = TEXT_TOKENS,
    heads: int = 24,
) -> list[Timed]:
    """Times edits of shares of a picture, each with the prompt kept and with so many new words, and dense passes, in
    turns: as many as fit into `seconds`, two at least. All is in float32, with random weights. `tell` is given a line
    whenever something is done. Raises `SigeError` where mflux is not installed, and for more words than there are text
    tokens."""
    sizes = replace(Flux2Sizes(), double_layers=1, single_layers=1, heads=heads)
    plane = TokenPlane(side // 16, side // 16)
    engine = TokenEngine(Flux2Tokens(_pair(heads), plane), "float32")
    image, prompt = (mx.random.normal((1, count, sizes.width)) for count in (plane.count, text))
    mx.eval(image, prompt)

    def edit_of(percent: float, count: int) -> _Edit:
        active = square(side, percent, count, text)
        some, read = image[:, mx.array(active.image)], prompt[:, mx.array(active.text)]
        mx.eval(some, read)
        return _Edit(percent, count, active, lambda: engine.edit(0, some, read, 0.5, active))

    edits = [edit_of(percent, count) for percent in percents for count in dict.fromkeys((1, words))]
    tell(f"a double and a single layer, {plane.count} image and {text} text tokens: recording them")
    began = time.perf_counter()
    mx.eval(engine.record(0, image, prompt, 0.5))
    for edit in edits:
        mx.eval(edit.run())
    once = time.perf_counter() - began
    rounds = max(2, round(seconds / once) - 1)
    tell(f"recorded and edited once in {once:.1f} s: {rounds} rounds, about {rounds * once:.0f} s")
    dense: list[float] = []
    for number in range(rounds):
        dense.append(_seconds(lambda: engine.dense(image, prompt, 0.5)))
        for edit in edits:
            until = time.perf_counter() + SHARE * dense[-1]
            own = [_seconds(edit.run)]
            while time.perf_counter() < until:
                own.append(_seconds(edit.run))
            edit.seconds.append(median(own))
        told = ", ".join(f"{edit.percent:g} % {edit.words} words {edit.seconds[-1]:.3f}" for edit in edits)
        tell(f"round {number + 1} of {rounds}: dense {dense[-1]:.2f} s, {told}")
    ends = replace(sizes, double_layers=0, single_layers=0)

    def macs(active: ActiveTokens, recorded: bool) -> int:
        return sizes.macs(active, recorded) - ends.macs(active, recorded)

    return [
        Timed(of.percent, of.words, median(dense), median(of.seconds), macs(of.active, False), macs(of.active, True))
        for of in edits
    ]


def _pair(heads: int) -> Any:
    """mflux's transformer of two layers. What stands before and after klein's 25, which all of them share, is gone:
    tokens are given in the layers' width, and shifts, scales and gates are constants."""
    make = member("mflux.models.flux2.model.flux2_transformer.transformer", "Flux2Transformer")
    transformer = make(num_layers=1, num_single_layers=1, num_attention_heads=heads)
    one = tuple(mx.random.normal((1, 1, transformer.inner_dim)) for _ in range(3))
    ends: dict[str, Any] = {name: lambda given, *_: given for name in ("x_embedder", "context_embedder", "proj_out")}
    ends |= {"time_guidance_embed": lambda time, guidance: time, "norm_out": lambda given, time: given}
    ends |= {f"double_stream_modulation_{stream}": lambda time: (one, one) for stream in ("img", "txt")}
    ends["single_stream_modulation"] = lambda time: (one,)
    for name, end in ends.items():
        setattr(transformer, name, end)
    mx.eval(transformer.parameters(), one)
    return transformer


def _seconds(run: Callable[[], mx.array]) -> float:
    start = time.perf_counter()
    mx.eval(run())
    return time.perf_counter() - start
