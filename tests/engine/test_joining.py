"""Tiles that a pixel-wise convolution normalises itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.engine.native import compiled
from sige_mlx.engine.native.joining import joined
from sige_mlx.graph import program as p
from tests.engine.compare import edited, image
from tests.graph.networks import Net
from tests.policies import policy

SPOT = np.zeros((16, 24), np.bool_)
SPOT[4:7, 9:13] = True
FOLLOWED = policy(1, "tiles", "followed")


def net(kernel: int, readers: int = 1) -> Net:
    """A norm of a convolution, that `readers` convolutions read."""

    def forward(m: Any, x: Any) -> Any:
        h = nn.relu(m.n(m.a(x)))
        return sum((getattr(m, f"b{i}")(h) for i in range(1, readers)), m.b0(h))

    convolutions = {f"b{i}": nn.Conv2d(8, 3, kernel, padding=kernel // 2) for i in range(readers)}
    return Net((16, 24, 3), forward, a=nn.Conv2d(3, 8, 3, padding=1), n=nn.InstanceNorm(8), **convolutions)


def program(engine: Engine) -> p.Program:
    return engine.lowered.edit_of(engine.lowered.tiling(SPOT))


def test_a_pixelwise_reader_normalises_tiles_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(1)
    engine = Engine(model, "cpu", FOLLOWED)
    before, after = program(engine), joined(program(engine))
    assert len(after.ops) == len(after.names) == len(before.ops) - 1
    assert [s.raw for op in after.ops if isinstance(op, p.Conv) for s in op.sources] == [0, 1]
    inputs = image(engine)

    def edit(of: Engine) -> Any:
        of.record(**inputs)
        return np.asarray(of.edit(of.prepare(SPOT), **edited(inputs, SPOT)))

    at_once = edit(engine)
    monkeypatch.setattr(compiled, "joined", lambda given: given)
    np.testing.assert_array_equal(at_once, edit(Engine(model, "cpu", FOLLOWED)))


@pytest.mark.parametrize("model", [net(3), net(1, readers=2)], ids=["3x3", "two"])
def test_other_readers_find_tiles_normalised(model: Net) -> None:
    """Overlapping windows would be normalised several times over, and so would what two convolutions read."""
    engine = Engine(model, "cpu", FOLLOWED)
    assert joined(program(engine)).ops == program(engine).ops
