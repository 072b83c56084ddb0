"""Whose statistics the norms of an edit take: recorded ones, those that follow the edit, estimated ones."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.engine.estimates import half, shrunk
from sige_mlx.engine.statistics import affine, estimated
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import STATISTICS, EditPolicy, Statistics
from tests.engine.compare import EVERYWHERE, edited, image, nmse
from tests.engine.rounding import assert_agree
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec, masks, specs
from tests.policies import policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)
SPOT = np.zeros((16, 24), np.bool_)
SPOT[4:7, 9:13] = True
HALF = np.zeros((16, 24), np.bool_)
HALF[:, :12] = True


@given(st.data(), specs(), st.sampled_from([1, 2]), st.sampled_from([1, 8, 21]), st.sampled_from(STATISTICS))
def test_executors_agree(data: st.DataObject, spec: Spec, batch: int, tiles_from: int, statistics: Statistics) -> None:
    mask = data.draw(masks(spec.height, spec.width))
    assert_agree(RandomUNet(spec), mask, tiles_from, statistics, batch=batch)


def by_hand(engine: Engine, statistics: str) -> Any:
    """The edit of SPOT by a 1x1 convolution, an instance norm and another convolution, written out in NumPy."""
    inputs = image(engine)
    changed = edited(inputs, SPOT)
    w1, w2 = (np.asarray(engine.executor.params[f"{name}.weight"], np.float64)[:, 0, 0].T for name in "ab")
    b1, b2 = (np.asarray(engine.executor.params[f"{name}.bias"], np.float64) for name in "ab")
    active = engine.lowered.tiling(SPOT).at((16, 24)).pixels()[..., None]

    def moments(h: Any) -> tuple[Any, Any]:
        return h.mean((1, 2), keepdims=True), h.var((1, 2), keepdims=True)

    recorded, raw = inputs["x"] @ w1 + b1, changed["x"] @ w1 + b1
    pasted = np.where(active, raw, recorded)
    mean, var = moments(recorded)
    if statistics == "followed":
        mean, var = moments(pasted)
    if statistics == "estimated":
        small = (np.asarray(shrunk(mx.array(x["x"]), (8, 12)), np.float64) @ w1 + b1 for x in (inputs, changed))
        (m0, v0), (m1, v1) = map(moments, small)
        mean, var = mean + m1 - m0, (var + 1e-5) * (v1 + 1e-5) / (v0 + 1e-5) - 1e-5
    value = np.maximum((pasted - mean) / np.sqrt(var + 1e-5), 0) @ w2 + b2
    mean, var = moments(recorded)
    kept = np.maximum((recorded - mean) / np.sqrt(var + 1e-5), 0) @ w2 + b2
    return np.where(active, value, kept)


@pytest.mark.parametrize("statistics", ["recorded", "followed", "estimated"])
def test_what_they_mean(statistics: Statistics) -> None:
    layers = {"a": nn.Conv2d(3, 8, 1), "n": nn.InstanceNorm(8), "b": nn.Conv2d(8, 3, 1)}
    model = Net((16, 24, 3), lambda m, x: m.b(nn.relu(m.n(m.a(x)))), **layers)
    of = policy(1, "tiles", statistics)
    expected = by_hand(Engine(model, "reference", of), statistics)
    for device in EVERYWHERE:
        engine = Engine(model, device, of)
        engine.record(**image(engine))
        found = engine.edit(engine.prepare(SPOT), **edited(image(engine), SPOT))
        assert nmse(found, expected) < 1e-10


@pytest.mark.parametrize("device", EVERYWHERE)
def test_where_half_the_size_shows_all_estimates_are_the_dense_pass(device: str) -> None:
    """Of pictures in squares of 2 x 2 pixels, and a network that sees one pixel at a time, the small pass is the large
    one; then an edit of everything is the dense pass, and the edit of a part is the dense pass there."""
    layers: dict[str, Any] = {"a": nn.Conv2d(3, 8, 1), "n": nn.GroupNorm(4, 8), "b": nn.Conv2d(8, 5, 1)}
    layers |= {"m": nn.InstanceNorm(5, affine=True), "c": nn.Conv2d(5, 3, 1)}
    model = Net((16, 24, 3), lambda m, x: m.c(nn.silu(m.m(m.b(nn.relu(m.n(m.a(x))))))), **layers)
    engine = Engine(model, device, policy(1, "tiles", "estimated"))
    inputs = {"x": np.repeat(np.repeat(image(engine)["x"][:, ::2, ::2], 2, 1), 2, 2)}
    changed = edited(inputs, HALF)
    changed["x"] = np.repeat(np.repeat(changed["x"][:, ::2, ::2], 2, 1), 2, 2)
    engine.record(**inputs)
    dense = np.asarray(engine(**changed))
    assert nmse(engine.edit(engine.prepare(np.ones_like(HALF)), **changed), dense) < 1e-10
    recorded = policy(1, "tiles", "recorded")
    for statistics, near in ((engine.policy, True), (recorded, False)):
        of = Engine(model, device, statistics)
        of.record(**inputs)
        found = np.asarray(of.edit(of.prepare(HALF), **changed))
        assert (nmse(found[:, HALF], dense[:, HALF]) < 1e-10) is near


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("statistics", ["followed", "estimated"])
def test_an_edit_that_changes_nothing_changes_no_statistics(device: str, statistics: Statistics) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy(8, "tiles", statistics))
    inputs = image(engine)
    original = engine.record(**inputs)
    assert nmse(engine.edit(engine.prepare(SPOT), **inputs), original) < 1e-10
    nothing = engine.prepare(np.zeros_like(SPOT))
    assert nothing.macs == 0 and mx.array_equal(engine.edit(nothing, **inputs), original)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_the_size_of_an_edit_decides(device: str) -> None:
    """A large edit takes other statistics than a small one, by the same recording."""
    of = EditPolicy(8, "recorded", large="estimated", large_from=0.2, dense_from=9)
    engines = [Engine(RandomUNet(SPEC), device, policy(8, "tiles", which)) for which in ("recorded", "estimated")]
    engine = Engine(RandomUNet(SPEC), device, of)
    inputs = image(engine)
    for each in (engine, *engines):
        each.record(**inputs)
    for mask, like, statistics in ((SPOT, engines[0], "recorded"), (HALF, engines[1], "estimated")):
        prepared = engine.prepare(mask)
        assert prepared.statistics == statistics
        assert prepared.macs == like.prepare(mask).macs
        changed = edited(inputs, mask)
        assert mx.array_equal(engine.edit(prepared, **changed), like.edit(like.prepare(mask), **changed))
    assert engines[1].prepare(HALF).macs - engines[0].prepare(HALF).macs == engine._half.macs


def test_the_dense_pass_comes_before_estimates_that_take_longer() -> None:
    of = EditPolicy(8, "estimated", dense_from=0.9)
    engine = Engine(RandomUNet(SPEC), policy=of)
    assert engine.prepare(np.ones_like(HALF)).dense and not engine.prepare(SPOT).dense
    assert Engine(RandomUNet(SPEC), policy=EditPolicy(8, dense_from=0)).prepare(SPOT).dense
    assert not Engine(RandomUNet(SPEC), policy=EditPolicy(8, dense_from=0)).prepare(np.zeros_like(SPOT)).dense


@pytest.mark.parametrize("size", [(16, 24), (17, 23), (5, 8), (2, 2)])
def test_shrinking_takes_means(size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 16, 24, 3)).astype(np.float32)
    if max(a - b for a, b in zip(size, (16, 24), strict=True)) <= 0:
        found = np.asarray(shrunk(mx.array(x), size))
        assert found.shape == (2, *size, 3)
        assert np.allclose(found.mean((1, 2)), x.mean((1, 2)), atol=1e-6)
        assert np.allclose(np.asarray(shrunk(mx.ones((2, 16, 24, 3)), size)), 1, atol=1e-6)
    assert np.allclose(shrunk(mx.array(x), (8, 12)), x.reshape(2, 8, 2, 12, 2, 3).mean((2, 4)), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"), [((16, 24), (8, 12)), ((4, 8), (4, 4)), ((36, 20), (20, 12)), ((64, 12), (32, 8))]
)
def test_half_the_size_is_one_that_the_network_takes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    down = (nn.Conv2d(channels, 4, 3, 2, 1) for channels in (3, 4))
    layers = dict(zip("ab", down, strict=True))
    net = Net((*size, 3), lambda m, x: m.c(nn.upsample_nearest(m.b(m.a(x)))), **layers, c=conv(4, 3))
    lowered = Lowered.of(net, EditPolicy())
    assert lowered.granularity == 4 and half(lowered) == expected


def test_moments_move_by_the_difference_and_the_ratio() -> None:
    moments, before, after = (np.array([[[m], [v]]], np.float64) for m, v in ((3.0, 4.0), (1.0, 1.0), (1.5, 9.0)))
    moved = estimated(moments, before, after, 0.0)
    assert moved[0, :, 0].tolist() == [3.5, 36.0]
    assert estimated(moments, before, before, 1e-5) == pytest.approx(moments)
    gone = estimated(moments, before, np.array([[[1.0], [0.0]]]), 1e-5)
    assert 0 <= gone[0, 1, 0] < 1e-4  # a channel that went flat
    scale, shift = affine(moved, np.array([[[2.0, 1.0], [0.0, 5.0]]]), 0.0)
    assert scale[0].tolist() == pytest.approx([2 / 6, 1 / 6]) and shift[0].tolist() == pytest.approx(
        [-7 / 6, 5 - 3.5 / 6]
    )
