"""mflux's transformer, recorded and edited by the engine of tokens, against diffusers' Flux2Transformer2DModel."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from sige_mlx.tokens import ActiveTokens, TokenEngine, TokenPlane
from sige_mlx.tokens.flux2 import Flux2Tokens, image_places, text_places

pytest.importorskip("mflux")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

SIZES: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 3,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 48,
    "timestep_guidance_channels": 32,
    "axes_dims_rope": (8, 8, 8, 8),
}
PICTURE, REFERENCE, TEXT = TokenPlane(6, 8), TokenPlane(3, 4), 6
RENAMED = (("time_guidance_embed.timestep_embedder.", "time_guidance_embed."), ("to_out.0.", "to_out."))


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    made = diffusers.Flux2Transformer2DModel(patch_size=1, **SIZES, guidance_embeds=False).eval()
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.5, 1.5)
    return made


@pytest.fixture
def ours(theirs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """mflux's network with the same weights; it has its time embedding in bfloat16 where nobody says otherwise."""
    from mflux.models.common.config.model_config import ModelConfig
    from mflux.models.flux2.model.flux2_transformer.transformer import Flux2Transformer

    monkeypatch.setattr(ModelConfig, "precision", mx.float32)
    network, weights = Flux2Transformer(**SIZES), {}
    for name, value in theirs.state_dict().items():
        for their, our in RENAMED:
            name = name.replace(their, our)
        weights[name] = mx.array(value.numpy())
    assert weights.keys() == dict(tree_flatten(network.parameters())).keys()
    network.update(tree_unflatten([*weights.items()]))
    return network


def test_recording_and_editing_everything_are_what_diffusers_computes(theirs: Any, ours: Any) -> None:
    rng = np.random.default_rng(0)
    count = PICTURE.count + REFERENCE.count
    image, text = (rng.standard_normal((1, n, c), np.float32) for n, c in ((count, 16), (TEXT, 48)))
    places = [np.asarray(at)[None] for at in (image_places(PICTURE, [REFERENCE]), text_places(TEXT))]
    with torch.no_grad():
        given = [torch.tensor(array) for array in (image, text, np.array([0.7], np.float32), *places)]
        expected = theirs(*given, return_dict=False)[0].numpy()
    engine = TokenEngine(Flux2Tokens(ours, PICTURE, [REFERENCE]), "float32")
    dense = engine.record(0, mx.array(image), mx.array(text), 0.7)
    assert np.abs(np.asarray(dense) - expected).max() <= 1e-5 * np.abs(expected).max()
    everything = ActiveTokens(range(TEXT), range(count), TEXT, count)
    assert mx.array_equal(engine.edit(0, mx.array(image), mx.array(text), 0.7, everything), dense)
    some = ActiveTokens([], [3, 17, 40], TEXT, count)
    edited = engine.edit(0, mx.array(image[:, some.image]), mx.array(text[:, some.text]), 0.7, some)
    assert np.abs(np.asarray(edited) - expected[:, some.image]).max() <= 1e-5 * np.abs(expected).max()
