"""What of mflux klein is loaded by: the members that are touched, the autoencoder's weights, the text encoder."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.tokens import flux2, klein

pytest.importorskip("mflux")


def test_the_members_that_are_touched_take_what_they_are_given() -> None:
    edit = flux2.member("mflux.models.flux2.variants", "Flux2KleinEdit")
    assert {"quantize", "model_path", "lora_paths"} <= inspect.signature(edit.__init__).parameters.keys()
    assert {"transformer", "vae", "text_encoder"} <= edit.__annotations__.keys()
    words = flux2.member("mflux.models.flux2.model.flux2_text_encoder.prompt_encoder", "Flux2PromptEncoder")
    assert {"tokenizer", "text_encoder"} <= inspect.signature(words.encode_prompt).parameters.keys()
    levels = klein.load(klein.TINY).levels(1024, 4)
    assert len(levels) == 5 and levels[0] == 1 and levels[-1] == 0 and levels == sorted(levels, reverse=True)


def test_the_text_encoder_is_gone_once_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []

    def load() -> Any:
        tokenizer = SimpleNamespace(tokenize=lambda **_: SimpleNamespace(attention_mask=np.array([[1, 1, 0]])))
        loaded.append(SimpleNamespace(text_encoder=object(), tokenizers={"qwen3": tokenizer}))
        return loaded[-1]

    def encode(words: str, **_: Any) -> tuple[mx.array, None]:
        return mx.full((1, 3, 8), len(words)), None

    monkeypatch.setattr(flux2, "member", lambda *_: SimpleNamespace(encode_prompt=encode))
    words = klein._Words(load, load())
    prompt = words("a sea")
    assert prompt.tokens.shape == (1, 3, 8) and prompt.real.tolist() == [True, True, False]
    assert loaded[0].text_encoder is None and words("a sea") is prompt and len(loaded) == 1
    words("a harbour")
    assert len(loaded) == 2 and loaded[1].text_encoder is None


def test_what_cannot_be_loaded_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> Any:
        raise OSError("no such repository\nand more")

    monkeypatch.setattr(flux2, "check_mflux", lambda: None)
    monkeypatch.setattr(flux2, "member", lambda *_: fails)
    with pytest.raises(SigeError, match=r"^mflux cannot load flux2-klein-4b: no such repository$"):
        klein.load(klein.KLEIN)


@pytest.mark.slow
def test_the_autoencoder_is_mflux_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flux2.member("mflux.models.common.config.model_config", "ModelConfig"), "precision", mx.float32)
    theirs = flux2.member("mflux.models.flux2.model.flux2_vae.vae", "Flux2VAE")()
    theirs.bn.running_mean, theirs.bn.running_var = mx.arange(128) / 64, 0.5 + mx.arange(128) / 128
    ours = klein._autoencoder(theirs)
    picture = mx.random.uniform(-1, 1, (1, 32, 48, 3))
    latents = theirs.encode(picture.transpose(0, 3, 1, 2))
    assert mx.allclose(ours.encoder(picture), latents.transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-5)
    expected = theirs.decode(latents).transpose(0, 2, 3, 1)
    decoded = ours.decoder(latents.transpose(0, 2, 3, 1))
    assert float(mx.abs(decoded - expected).max()) <= 1e-4 * float(mx.abs(expected).max())
    normal = theirs.normalize_latents(latents)
    found = ours.normalised(latents.transpose(0, 2, 3, 1))
    unpacked = theirs.unpack_packed_latents(found.transpose(0, 3, 1, 2))
    assert mx.allclose(unpacked, latents, atol=1e-4) and normal.shape == latents.shape
