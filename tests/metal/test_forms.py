"""Weights are arranged for a kernel after it is trusted, and only then."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.launch import Launch, use
from sige_mlx.engine.gpu.ops import Arrangement, Conv, cost
from tests.engine.compare import edited, image, nmse
from tests.graph.networks import RandomUNet, Spec
from tests.metal.draw import MAKERS
from tests.metal.test_winograd import call
from tests.policies import policy

NETWORK = Spec(16, 16, 3, (("block", 24), ("down", 24), ("up", 24)), norm_out=True, time=True)


class Refusing(Simulated):
    """A GPU on which no kernel of arranged weights runs; `order` tells what happened."""

    def __init__(self, order: list[str]):
        super().__init__(identity="a chip")
        self.order = order

    def run(self, launch: Launch) -> list[mx.array]:
        name = launch.kernel.specialisation
        self.order.append(name)
        if "WINOGRAD=1" in name or "PHASED=True" in name:
            raise RuntimeError("[metal::Device] Unable to build metal library from source\nerror: …")
        return super().run(launch)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Kernels that ran, and weights that were arranged, in order. Transforms pay here, small as the network is."""
    told: list[str] = []

    arranged = Conv.arranged

    def telling(self: Conv, how: Arrangement) -> mx.array:
        told.append(how.name)
        return arranged(self, how)

    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr(Conv, "arranged", telling)
    monkeypatch.setattr(cost, "WORTH_ITS_MEMORY", 0)
    return told


def error(device: Simulated) -> tuple[float, int]:
    """Of an edit, and the bytes that all passes add to the parameters."""
    model = RandomUNet(NETWORK)
    with use(lambda: device):
        gpu, reference = (Engine(model, name, policy()) for name in ("gpu", "reference"))
    mask = np.zeros(gpu.image_size, np.bool_)
    mask[3:7, 6:13] = True
    inputs = image(gpu)
    before = gpu.executor.parameters.nbytes
    for engine in (gpu, reference):
        engine.record(**inputs)
    results = [engine.edit(engine.prepare(mask), **edited(inputs, mask)) for engine in (gpu, reference)]
    return nmse(*results), gpu.executor.parameters.nbytes - before


def test_nothing_is_arranged_for_a_refused_kernel(order: list[str]) -> None:
    with pytest.warns(UserWarning, match="the Metal kernel conv is replaced"):
        found, more = error(Refusing(order))
    assert found < 1e-4
    assert more == 0 and not {how.name for how in Arrangement} & set(order)
    assert any("WINOGRAD=1" in name for name in order) and any("PHASED=True" in name for name in order)


def test_trust_comes_first(order: list[str]) -> None:
    class Telling(Refusing):
        def run(self, launch: Launch) -> list[mx.array]:
            self.order.append(launch.kernel.specialisation)
            return Simulated.run(self, launch)

    found, more = error(Telling(order))
    assert found < 1e-4 and more > 0
    for how, marked in (("PHASES", "PHASED=True"), ("TRANSFORMED", "WINOGRAD=1")):
        assert any(marked in name for name in order[: order.index(how)])


def test_the_last_form_is_the_call_itself() -> None:
    for maker in MAKERS.values():
        given, _ = maker(3, mx.float32)
        assert given.arrangements()[-1] is None and given.form(None) is given


def test_weights_that_stand_for_others_are_shaped_like_them() -> None:
    transformable = call()
    how, _ = transformable.arrangements()
    assert how is Arrangement.TRANSFORMED
    form = transformable.form(how)
    assert form.transformed.shape == transformable.arranged(how).shape
    assert form.transformed.dtype == transformable.weight.dtype
