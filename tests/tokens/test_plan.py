"""What editing takes of memory, told before anything is loaded."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from sige_mlx.errors import SigeError
from sige_mlx.tokens import flux2, klein
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.plan import Plan, planes_of
from sige_mlx.tokens.session import TokenSession

KLEIN = Plan(Flux2Sizes(), planes_of((1024, 1024)), 4, 16, "bfloat16")
M1_PRO = int(10.7e9)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)


@pytest.mark.usefixtures("on_a_gpu")
def test_klein_as_published_does_not_fit_16_gb_and_what_would_is_told() -> None:
    with pytest.raises(SigeError) as refused:
        KLEIN.check(M1_PRO)
    said = str(refused.value)
    assert (
        "1024×1024 pixels, weights as published, a record in bfloat16 would take 18.4 GB (7.8 of weights, 5.7" in said
    )
    assert "1024×1024 pixels, q4 weights, a record in int8 (" in said and "512×512 pixels, q8 weights" in said
    for plan in KLEIN.others():
        assert plan.peak < KLEIN.peak
    with pytest.raises(SigeError, match="nothing smaller would fit either"):
        KLEIN.check(10**9)
    Plan(Flux2Sizes(), planes_of((512, 512)), 4, 4, "int8").check(M1_PRO)


def test_weights_are_counted() -> None:
    assert KLEIN.weights == pytest.approx(7.75e9, rel=0.01)
    pytest.importorskip("mflux")
    transformer = flux2.tiny_transformer(2, 3)
    sizes = Flux2Sizes(2, 3, heads=2, head_dim=32, channels=64, text_width=64, time_channels=64)
    assert sizes.parameters == sum(array.size for _, array in tree_flatten(transformer.parameters()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_passes_and_their_record_take_no_more_than_planned(precision: str) -> None:
    pytest.importorskip("mflux")
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    session = TokenSession(klein.tiny(), picture, prompt="a sea", precision=precision)  # type: ignore[arg-type]
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 16:32] = 255
    session._look(session._window_of(session.reader.read(session.source, picture, mask)))
    view, latents = session._current()
    plan, prompt = session.plan(), session.pipeline.prompt("a sea")
    active = view.active(mask > 0, prompt, prompt)
    mx.eval(latents.tokens, prompt.tokens)
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    view.record(latents, prompt, lambda done: None)
    assert session.recording_nbytes == plan.recorded
    assert mx.get_peak_memory() - before <= plan.recorded + plan.activations
    mx.eval(view.edit(latents.tokens, active, prompt, lambda done: None))
    assert mx.get_peak_memory() - before <= plan.recorded * 1.2 + plan.activations <= plan.peak


def test_a_record_is_in_int8_where_memory_has_no_room_for_more() -> None:
    pytest.importorskip("mflux")
    pipeline, picture = klein.tiny(), np.zeros((64, 64, 3), np.uint8)
    exact = TokenSession(pipeline, picture, prompt="a sea")
    limit = (exact.plan().peak + TokenSession(pipeline, picture, precision="int8").plan().peak) // 2
    session = TokenSession(pipeline, picture, prompt="a sea", limit=limit)
    session.record()
    assert session.recording_nbytes == TokenSession(pipeline, picture, precision="int8").plan().recorded
    with pytest.raises(SigeError, match="a record in float32 would take"):
        TokenSession(pipeline, picture, precision="float32", limit=limit)
