"""Convolutions of the same reads become one where attention reads their results, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.graph import program as p
from sige_mlx.graph.lowered import Lowered
from sige_mlx.nn import Tensor
from tests.engine.rounding import assert_agree
from tests.graph.blocks import conv
from tests.graph.networks import Net
from tests.policies import policy

Forward = Callable[[Any, Tensor], Tensor]


def net(forward: Forward) -> Net:
    """1x1 convolutions q, k and v from 6 channels to 8, a 3x3 one d, and others before and behind, on 16x16 pixels."""
    layers = {name: conv(6, 8, 1) for name in "qkv"} | {"d": conv(6, 8), "n": nn.GroupNorm(2, 6)}
    return Net((16, 16, 3), forward, a=conv(3, 6), b=conv(8, 3), bare=nn.Conv2d(6, 8, 1, bias=False), **layers)


def attended(m: Any, h: Tensor) -> Tensor:
    return m.b(nn.attention(m.q(h), m.k(h), m.v(h), 2))


def widths(forward: Forward, tiles_from: int = 32) -> list[int]:
    """Output channels of the convolutions between the first and the last; by default nothing is in tiles."""
    model = net(forward)
    lowered = Lowered.of(model, policy(tiles_from))
    assert lowered.dense.macs({}) == lowered.dense_macs
    convs = [op.c_out for op in lowered.dense.ops if isinstance(op, p.Conv)]
    assert convs == [op.c_out for op in lowered.edit.ops if isinstance(op, p.Conv)]
    return convs[1:-1]


def test_queries_keys_and_values_are_one_convolution() -> None:
    assert widths(lambda m, x: attended(m, m.n(m.a(x)))) == [24]


def test_queries_of_tiles_stay_apart() -> None:
    assert widths(lambda m, x: attended(m, m.n(m.a(x))), tiles_from=16) == [8, 16]


def read_by_others(m: Any, h: Tensor) -> Tensor:
    q = m.q(h)
    return m.b(nn.attention(q, m.k(h), m.v(h)) + q)


def attending_to_itself(m: Any, h: Tensor) -> Tensor:
    q = m.q(h)
    return m.b(nn.attention(q, q, m.v(h)))


APART: dict[str, tuple[Forward, list[int]]] = {
    "read by others": (lambda m, x: read_by_others(m, m.a(x)), [8, 16]),
    "of other reads": (lambda m, x: (lambda h: m.b(nn.attention(m.q(nn.silu(h)), m.k(h), m.v(h))))(m.a(x)), [8, 16]),
    "of other pixels": (lambda m, x: (lambda h: m.b(nn.attention(m.d(h), m.k(h), m.v(h))))(m.a(x)), [8, 16]),
    "without a bias": (lambda m, x: (lambda h: m.b(nn.attention(m.bare(h), m.k(h), m.v(h))))(m.a(x)), [8, 16]),
    "twice the same": (lambda m, x: attending_to_itself(m, m.a(x)), [16]),
}


@pytest.mark.parametrize("name", APART)
def test_what_is_not_alike_stays_apart(name: str) -> None:
    forward, expected = APART[name]
    assert widths(forward) == expected


@pytest.mark.parametrize("tiles_from", [16, 32])
@pytest.mark.parametrize("name", [*APART, "alike"])
def test_results_stay_the_same(name: str, tiles_from: int) -> None:
    """Biases, weights and channels are those of the layer they belong to, densely and in edits."""
    model = net(APART[name][0] if name in APART else lambda m, x: attended(m, m.n(m.a(x))))
    mask = np.zeros((16, 16), np.bool_)
    mask[3:8, 6:9] = True
    assert_agree(model, mask, tiles_from=tiles_from)
