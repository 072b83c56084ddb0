"""The bound on executors: it follows what a network does with rounding errors, and tells small mistakes."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.engine import Engine
from tests.engine.compare import image
from tests.engine.rounding import FLOAT32, Exact, assert_exact, exact
from tests.graph.networks import Net, RandomUNet, Spec, conv

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), True, time=True, tanh=True)


def net(offset: float = 0) -> Net:
    model = Net((16, 16, 3), lambda m, x: m.b(m.n(m.a(x))), a=conv(3, 4), n=nn.InstanceNorm(4), b=conv(4, 3))
    model.a.bias = model.a.bias + offset
    return model


def dense(model: Net | RandomUNet, unit: float = FLOAT32) -> Exact:
    reference = Engine(model, "reference")
    return exact(reference, image(reference), unit=unit)[0]


def test_it_is_the_model_in_float64() -> None:
    model = RandomUNet(SPEC)
    found = dense(model)
    assert found.value.dtype == np.float64
    single = np.asarray(model(**{name: mx.array(x) for name, x in image(Engine(model)).items()}))
    np.testing.assert_allclose(single, found.value, atol=1e-5)
    assert (single != found.value).any()


def test_the_noise_is_that_of_the_unit() -> None:
    assert dense(net(), 2.0**-11).noise == pytest.approx(dense(net()).noise * 2.0**26, rel=0.01)


def test_the_noise_is_the_networks_own() -> None:
    """A mean of 30 deviations leaves 1.5 digits less to the deviations, and 3 less to sums of squares."""
    assert 1e4 < dense(net(30)).noise / dense(net()).noise < 1e7


@pytest.mark.parametrize("part", ["a.weight", "n", "b.bias"])
def test_a_small_mistake_is_told(part: str) -> None:
    """One number of one layer is off by a thousandth."""
    right, wrong = net(), net()
    if part == "n":
        wrong.n = nn.InstanceNorm(4, eps=1e-3)
    else:
        layer, name = getattr(wrong, part[0]), part[2:]
        values = np.array(layer[name])
        values.flat[0] += 1e-3
        layer[name] = mx.array(values)
    reference = Engine(right, "reference")
    mask = np.eye(16, dtype=np.bool_)
    assert_exact([Engine(right), reference], reference, mask)
    for device in ("cpu", "reference"):
        with pytest.raises(AssertionError, match="times the noise"):
            assert_exact([Engine(wrong, device)], reference, mask)
