"""Growth: tiles join an edit where what they read has changed by more than a tolerance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.editing import EditSession, TranslationSession
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.graph.tiling import Tiling
from tests.engine.compare import EVERYWHERE, edited, image, nmse
from tests.graph.blocks import conv
from tests.graph.networks import Net, masks
from tests.tiny import TRANSLATION_CONFIG, original, painted, tiny_engine, translation_engine

SIZE = (32, 40)
SPOT = np.zeros(SIZE, np.bool_)
SPOT[13, 22] = True
GROWING = EditPolicy(1, "recorded", dilation_per_level=0, grow=0.0, dense_from=math.inf)


def network(kernel: int = 3) -> Net:
    """Convolutions alone, on three levels: no operation sees a whole plane, and no plane is computed whole."""
    layers = {"a": conv(3, 6, kernel), "b": conv(6, 8, 3, 2), "c": conv(8, 8, 3, 2), "d": conv(8, 8), "e": conv(14, 6)}

    def forward(m: Any, x: Any) -> Any:
        skip = m.a(x)
        h = nn.silu(m.d(nn.upsample_nearest(nn.silu(m.c(nn.silu(m.b(nn.silu(skip))))))))
        return m.f(nn.relu(m.e(nn.concat([nn.upsample_nearest(h), skip]))))

    return Net((*SIZE, 3), forward, **layers, f=conv(6, 2))


def deep() -> Net:
    """Eight convolutions on one plane: a pixel reaches eight pixels far, and less and less."""
    layers = {f"c{i}": conv(3 if i == 0 else 6, 6) for i in range(8)}

    def forward(m: Any, x: Any) -> Any:
        for name in layers:
            x = nn.silu(getattr(m, name)(x))
        return x

    return Net((*SIZE, 3), forward, **layers)


def covered(tiling: Tiling) -> dict[Any, int]:
    return {size: len(level) for size, level in tiling.levels.items()}


def grown_edit(engine: Engine, mask: np.ndarray) -> tuple[Any, Any, Any]:
    """The tiles before and after they grew, and the edit's output."""
    inputs = image(engine)
    engine.record(**inputs)
    changed, prepared = edited(inputs, mask), engine.prepare(mask)
    found = engine.grown(prepared, **changed)
    return prepared.tiling, found.tiling, np.asarray(engine.edit(found, **changed))


@given(masks(*SIZE), st.sampled_from([1, 3, 5]))
def test_without_tolerance_and_global_operations_it_is_the_dense_pass(mask: np.ndarray, kernel: int) -> None:
    for device in EVERYWHERE:
        engine = Engine(network(kernel), device, GROWING)
        _, _, found = grown_edit(engine, mask)
        dense = engine(**edited(image(engine), mask))
        assert nmse(found, dense) < 1e-11


@pytest.mark.parametrize("device", EVERYWHERE)
def test_a_tolerance_says_how_far_tiles_grow(device: str) -> None:
    engine = Engine(deep(), device, replace(GROWING, grow=None))
    dense = np.asarray(engine(**edited(image(engine), SPOT)))
    counts, errors = [], []
    for tolerance in (math.inf, 0.1, 1e-3, 0.0):
        before, after, found = grown_edit(engine.under(replace(GROWING, grow=tolerance)), SPOT)
        assert all(count <= covered(after)[size] for size, count in covered(before).items())
        counts.append(sum(covered(after).values()) - sum(covered(before).values()))
        errors.append(float(np.abs(found - dense).max()))
    assert counts == sorted(counts) and errors == sorted(errors, reverse=True), (counts, errors)
    assert counts[0] < counts[1] < counts[3] and errors[-1] < 1e-5 < errors[1] < errors[0]


def test_executors_grow_alike() -> None:
    """By another tolerance than 0, for they round differently."""
    tilings = [grown_edit(Engine(network(), device, replace(GROWING, grow=0.01)), SPOT)[1] for device in EVERYWHERE]
    assert covered(tilings[0]) == covered(tilings[1])


@pytest.mark.parametrize("device", EVERYWHERE)
def test_growing_leaves_the_record_as_it_was(device: str) -> None:
    engine = Engine(network(), device, GROWING)
    inputs = image(engine)
    output = engine.record(**inputs)
    prepared = engine.prepare(SPOT)
    once = engine.grown(prepared, **edited(inputs, SPOT))
    assert engine.grown(once, **edited(inputs, SPOT)) is once
    assert nmse(engine.edit(once, **inputs), output) < 1e-11
    nothing = engine.prepare(np.zeros_like(SPOT))
    assert engine.grown(nothing, **inputs) is nothing
    steady = engine.under(replace(GROWING, grow=None))
    assert steady.grown(prepared) is prepared


def test_recordings_in_int8_do_not_tell() -> None:
    engine = Engine(network(), "cpu", GROWING)
    engine.recordings.codec = "int8"
    inputs = image(engine)
    output = engine.record(**inputs)
    with pytest.raises(SigeError, match=r"^recordings in int8 do not tell what changes"):
        engine.grown(engine.prepare(SPOT), **edited(inputs, SPOT))
    assert mx.array_equal(engine.edit(engine.prepare(np.zeros_like(SPOT)), **inputs), output)


def test_sessions_let_tiles_grow() -> None:
    steady, growing = (tiny_engine(grow=grow, large=None, dense_from=math.inf) for grow in (None, 0.05))
    results = [EditSession(engine, original(), steps=2).edit(painted()) for engine in (steady, growing)]
    assert results[0].macs < results[1].macs
    size = TRANSLATION_CONFIG.image_size
    engines = [translation_engine(grow=grow, dense_from=math.inf) for grow in (None, 0.5)]
    opened = [TranslationSession(engine, original(*size)) for engine in engines]
    few, more = (session.edit(painted(*size)) for session in opened)
    assert few.macs < more.macs
    opened[1].commit()
    assert np.array_equal(opened[1].record(), more.image)
