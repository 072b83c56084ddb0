"""What passes and records of FLUX.2 cost, counted from sizes and counted as they run."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from sige_mlx.tokens import RECORD_PRECISIONS, ActiveTokens, TokenEngine, TokenPlane, flux2
from sige_mlx.tokens.cost import Flux2Sizes

TINY = Flux2Sizes(2, 3, heads=2, head_dim=32, channels=64, text_width=64, time_channels=64)


def edit(side: int, share: float, text: int) -> ActiveTokens:
    """A square about a share of a picture of `side`² pixels, in the middle, among 512 text tokens. It is as large as
    whole tokens and covers whole ones: one that straddles tokens activates a row and a column more."""
    plane = TokenPlane(side // 16, side // 16)
    mask = np.zeros((side, side), bool)
    length = round(math.sqrt(share) * side / 16) * 16
    start = (side - length) // 32 * 16
    mask[start : start + length, start : start + length] = True
    return ActiveTokens(range(text), plane.touched(mask).reshape(-1), 512, plane.count)


@pytest.mark.parametrize(
    ("share", "text", "least"), [(0.05, 1, 17), (0.01, 1, 60), (0.05, 20, 10)], ids=["5 %", "1 %", "new prompt, 5 %"]
)
def test_edits_of_klein_at_1024(share: float, text: int, least: float) -> None:
    active = edit(1024, share, text)
    klein = Flux2Sizes()
    assert klein.macs(active, recorded=False) / klein.macs(active) >= least


def test_klein_keeps_what_the_field_notes_say() -> None:
    """5.7 GB at 1024² with text, four steps, in bfloat16; a little over half in int8."""
    klein = Flux2Sizes()
    assert klein.record_nbytes(4096 + 512, 4, "bfloat16") == pytest.approx(5.66e9, rel=0.01)
    assert klein.record_nbytes(4096 + 512, 4, "int8") == pytest.approx(2.87e9, rel=0.01)


@pytest.mark.parametrize("image", [range(64), range(5)], ids=["all", "some"])
def test_counted_as_it_runs(monkeypatch: pytest.MonkeyPatch, image: range) -> None:
    pytest.importorskip("mflux")
    counted = 0
    linear, attention = nn.Linear.__call__, flux2._attention_of_mflux()

    def counting_linear(self, x):
        nonlocal counted
        counted += x.size * self.weight.shape[0]
        return linear(self, x)

    def counting_attention(**given):
        nonlocal counted
        counted += 2 * given["query"].size * given["key"].shape[2]
        return attention(**given)

    engine = TokenEngine(flux2.Flux2Tokens(flux2.tiny_transformer(2, 3), TokenPlane(8, 8)))
    text = ActiveTokens(range(6), image, 6, 64)
    engine.record(0, mx.ones((1, 64, 64)), mx.ones((1, 6, 64)), 0.5)
    monkeypatch.setattr(nn.Linear, "__call__", counting_linear)
    monkeypatch.setattr(engine._transformer, "_attention", counting_attention)
    engine.edit(0, mx.ones((1, len(image), 64)), mx.ones((1, 6, 64)), 0.5, text)
    assert counted == TINY.macs(text)


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_a_record_holds_what_was_planned(precision: str) -> None:
    pytest.importorskip("mflux")
    transformer = flux2.tiny_transformer(2, 3)
    transformer.set_dtype(mx.bfloat16)
    engine = TokenEngine(flux2.Flux2Tokens(transformer, TokenPlane(8, 8)), precision)
    for step in range(2):
        engine.record(step, mx.ones((1, 64, 64), mx.bfloat16), mx.ones((1, 6, 64), mx.bfloat16), 0.5)
    assert engine.nbytes == TINY.record_nbytes(70, 2, precision)
