"""On a Mac a sampler step waits for the GPU once, at its end."""

from __future__ import annotations

import contextlib
from typing import Any

import mlx.core as mx
import pytest

from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine
from tests.metal.by_mlx import use_by_mlx
from tests.tiny import original, painted, tiny_engine

STEPS = 3

compile_by_mlx = mx.compile


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Lazy as on a Mac. To compile what MLX's operations do for this processor takes a minute."""
    monkeypatch.setattr(mx, "compile", lambda function: function)
    use_by_mlx(monkeypatch)
    return tiny_engine("gpu")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with everything that waits for arrays."""
    seen: list[str] = []

    def counted(owner: Any, name: str) -> None:
        wait = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: seen.append(name) or wait(*args))

    counted(mx, "eval")
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        counted(mx.array, name)
    return seen


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm-solver"])
def test_a_step_waits_once(sampler: str, engine: Engine, waits: list[str]) -> None:
    session = EditSession(engine, original(), steps=STEPS, sampler=sampler)
    session.record()
    session.edit(painted())  # compiles kernels, and makes MLX keep the edits of all sizes
    for run in (session.edit, session.dense):
        waits.clear()
        run(painted())
        assert waits == ["eval"] * STEPS


def test_an_edit_waits_for_nothing(engine: Engine) -> None:
    """MLX refuses to compute an array of a function that it traces."""
    session = EditSession(engine, original(), steps=1)
    session.record()
    session.edit(painted())
    prepared = engine.prepare(session.mask(painted()))
    key = session._recording.key(session.denoising.levels[0])
    given = session.denoising.condition(session.denoising.levels[0])
    x = mx.zeros((1, *engine.image_size, 3))
    engine.edit(prepared, key, x=x, **given)
    for network in (lambda x: engine.edit(prepared, key, x=x, **given), lambda x: engine(x=x, **given)):
        with contextlib.suppress(IndexError):  # once all is traced, MLX may fail to fuse it (ml-explore/mlx#3165)
            assert compile_by_mlx(network)(x).shape == x.shape
