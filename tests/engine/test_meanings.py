"""What "correct" means, for both executors: edits of everything, edits of nothing, and what an edit leaves alone."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.engine import Engine
from sige_mlx.graph.policy import Output
from tests.engine.compare import EVERYWHERE, edited, image, nmse, run_edit
from tests.engine.rounding import Exact, exact
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy

WITHOUT_NORMS = Net((16, 24, 3), lambda m, x: m.b(m.a(x)) + m.c(x), a=conv(3, 7), b=conv(7, 5, 5), c=conv(3, 5, 1))


def unet(norm_out: bool = True) -> RandomUNet:
    return RandomUNet(Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out, time=True))


def dense(model: mlx.nn.Module, inputs: dict[str, Any], **options: Any) -> Exact:
    return exact(Engine(model, "reference", **options), inputs)[0]


def all_pixels(engine: Engine) -> np.ndarray:
    return np.ones(engine.image_size, np.bool_)


# ---- a model called with arrays is the dense network


@pytest.mark.parametrize("device", EVERYWHERE)
@given(specs(), st.sampled_from([1, 2]))
def test_the_dense_pass_is_the_model(device: str, spec: Spec, batch: int) -> None:
    model = RandomUNet(spec)
    engine = Engine(model, device, batch=batch)
    inputs = image(engine)
    expected = dense(model, inputs, batch=batch)
    expected.assert_near(model(**{name: mx.array(x) for name, x in inputs.items()}), "the model")
    expected.assert_near(engine(**inputs))
    expected.assert_near(engine.record(**inputs), "recorded")


# ---- every tile active


@pytest.mark.parametrize("device", EVERYWHERE)
@given(specs(), st.sampled_from([1, 8, 21]), st.sampled_from(OUTPUTS))
def test_recomputing_the_original_everywhere_gives_the_original(
    device: str, spec: Spec, tiles_from: int, output: Output
) -> None:
    """The recorded statistics are then the true ones."""
    model = RandomUNet(spec)
    engine = Engine(model, device, policy(tiles_from, output))
    inputs = image(engine)
    engine.record(**inputs)
    prepared = engine.prepare(all_pixels(engine))
    dense(model, inputs).assert_near(engine.edit(prepared, **inputs))


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("output", OUTPUTS)
def test_without_norms_an_edit_of_everything_is_the_dense_run(device: str, output: Output) -> None:
    engine = Engine(WITHOUT_NORMS, device, policy(8, output))
    result = run_edit(engine, all_pixels(engine))
    dense(WITHOUT_NORMS, edited(image(engine), all_pixels(engine))).assert_near(result)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_below_the_threshold_every_edit_is_the_dense_run(device: str) -> None:
    """Nothing is tiled there, so all statistics are fresh and the mask does not matter."""
    model = unet()
    engine = Engine(model, device, policy(1000))
    corner = np.zeros((16, 24), np.bool_)
    corner[:3, :3] = True
    dense(model, edited(image(engine), corner)).assert_near(run_edit(engine, corner))


@pytest.mark.parametrize("device", EVERYWHERE)
@given(specs(), st.sampled_from([1, 8, 21]), st.sampled_from(OUTPUTS))
def test_with_followed_statistics_an_edit_of_everything_is_the_dense_run(
    device: str, spec: Spec, tiles_from: int, output: Output
) -> None:
    model = RandomUNet(spec)
    engine = Engine(model, device, policy(tiles_from, output, "followed"))
    result = run_edit(engine, all_pixels(engine))
    dense(model, edited(image(engine), all_pixels(engine))).assert_near(result)


# ---- no tile active


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("batch", [1, 2])
def test_an_empty_edit_returns_the_recorded_output(device: str, output: Output, batch: int) -> None:
    engine = Engine(unet(), device, policy(8, output), batch=batch)
    inputs = image(engine)
    original = engine.record(**inputs)
    prepared = engine.prepare(~all_pixels(engine))
    assert prepared.macs == 0
    assert mx.array_equal(engine.edit(prepared, **inputs), original)


# ---- pixels that are not edited


@pytest.mark.parametrize("device", EVERYWHERE)
@given(st.data(), specs(), st.sampled_from([1, 8]))
def test_outside_the_tiles_the_output_is_recorded_to_the_bit(
    device: str, data: st.DataObject, spec: Spec, tiles_from: int
) -> None:
    engine = Engine(RandomUNet(spec), device, policy(tiles_from, "tiles"))
    mask = data.draw(masks(spec.height, spec.width))
    result = np.asarray(run_edit(engine, mask))
    inside = engine.lowered.tiling(mask).at((spec.height, spec.width)).pixels()
    original = np.asarray(engine(**image(engine)))
    np.testing.assert_array_equal(result[~inside], original[~inside])


@pytest.mark.parametrize("device", EVERYWHERE)
def test_within_the_tiles_the_edit_is_seen(device: str) -> None:
    engine = Engine(unet(), device, policy())
    mask = np.zeros((16, 24), np.bool_)
    mask[5:8, 6:9] = True
    result, original = np.asarray(run_edit(engine, mask)), np.asarray(engine(**image(engine)))
    assert nmse(result[:, mask], original[:, mask]) > 1e-2


@pytest.mark.parametrize("device", EVERYWHERE)
def test_a_convolution_on_tiles_is_exact_where_its_tiles_see_all_of_the_edit(device: str) -> None:
    """Without norms, an edit that stays two convolutions away from a tile's border is no approximation."""
    layers = {"a": conv(3, 6), "b": conv(6, 3)}
    engine = Engine(Net((24, 24, 3), lambda m, x: m.b(nn.silu(m.a(x))), **layers), device, policy())
    mask = np.zeros((24, 24), np.bool_)
    mask[8:12, 8:12] = True
    result = np.asarray(run_edit(engine, mask))
    dense = np.asarray(engine(**edited(image(engine), mask)))
    np.testing.assert_allclose(result, dense, atol=2e-5)
