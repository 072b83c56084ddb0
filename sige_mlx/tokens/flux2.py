"""FLUX.2's transformer as mflux runs it (≥ 0.18.1, installed by the user), for the engine of tokens.

mflux hands an object for reference pictures, `kv_cache`, to every attention after positions were put into queries and
keys. The object given here asks the engine instead. Nothing of mflux is changed or copied; its quantised weights and
LoRA work as they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.errors import SigeError, first_line
from sige_mlx.tokens.active import ActiveTokens, TokenPlane
from sige_mlx.tokens.engine import Pass, TokenEngine

OLDEST = "0.18.1"

REFERENCE_TIME = 10
"""Reference pictures stand at times 10, 20, … of FLUX.2's positions (time, row, column, place in the text)."""


def image_places(picture: TokenPlane, references: Sequence[TokenPlane] = ()) -> mx.array:
    """Positions of all image tokens, those of the picture first: int32 [N, 4]."""
    parts = []
    for index, plane in enumerate((picture, *references)):
        row, column = np.indices((plane.height, plane.width)).reshape(2, -1)
        parts.append(np.stack([np.full_like(row, index * REFERENCE_TIME), row, column, np.zeros_like(row)], axis=1))
    return mx.array(np.concatenate(parts).astype(np.int32))


def text_places(count: int) -> mx.array:
    """Positions of text tokens: int32 [T, 4]."""
    places = np.zeros((count, 4), np.int32)
    places[:, 3] = np.arange(count)
    return mx.array(places)


class Flux2Tokens:
    """mflux's `Flux2Transformer` for `TokenEngine`, over the tokens of a picture and of reference pictures.

    The engine's `time` is the noise level, from 1 to 0.
    """

    def __init__(self, transformer: Any, picture: TokenPlane, references: Sequence[TokenPlane] = ()):
        self._transformer = transformer
        self._places = image_places(picture, references)
        self._attention = _attention_of_mflux()

    def __call__(self, image: mx.array, text: mx.array, time: float, active: ActiveTokens, attention: Pass) -> mx.array:
        output: mx.array = self._transformer(
            hidden_states=image,
            encoder_hidden_states=text,
            timestep=mx.array(time, image.dtype),
            img_ids=self._places[mx.array(active.image)],
            txt_ids=text_places(active.text_count)[mx.array(active.text)],
            kv_cache=_Asking(attention, self._attention),
        )
        return output


class _Asking:
    """What mflux takes for a cache of reference pictures."""

    mode = None
    num_ref_tokens = 0

    def __init__(self, attention: Pass, compute: Any):
        self._pass = attention
        self._compute = compute

    def store_reference(self, stream: str, layer_idx: int, key: mx.array, value: mx.array) -> None:
        """mflux tells the keys and values here first; `append_reference` gets the same."""

    def append_reference(
        self, stream: str, layer_idx: int, key: mx.array, value: mx.array
    ) -> tuple[mx.array, mx.array]:
        return self._pass.seen(stream, layer_idx, key, value)

    def compute_extract_attention(self, **arguments: Any) -> mx.array:
        attended: mx.array = self._compute(**arguments, mask=self._pass.mask)
        return attended


def _attention_of_mflux() -> Any:
    """mflux's own attention, so that a pass with all tokens is its own to the bit."""
    return member("mflux.models.flux.model.flux_transformer.common.attention_utils", "AttentionUtils").compute_attention


def member(module: str, name: str) -> Any:
    """Something of mflux. Raises `SigeError` where it is not there."""
    installed = mflux_version()
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch, which nobody needs here
    try:
        return getattr(import_module(module), name)
    except Exception as e:  # whatever another package raises while it is imported
        raise SigeError(f"{not_understood(installed)} {name} of {module} is not there: {first_line(e)}") from e


def mflux_version() -> str:
    """The version of mflux; raises `SigeError` where it is not installed."""
    try:
        return version("mflux")
    except PackageNotFoundError as e:
        raise SigeError(f"FLUX.2 is run by mflux, which is not installed: pip install 'mflux>={OLDEST}'") from e


def not_understood(installed: str) -> str:
    """How a sentence about another version begins."""
    return f"mflux {installed} is not understood (known: {OLDEST} to 0.24):"


def tiny_transformer(layers: int = 1, single_layers: int = 2) -> Any:
    """mflux's `Flux2Transformer` of the smallest size that has all its parts, with random weights."""
    make = member("mflux.models.flux2.model.flux2_transformer.transformer", "Flux2Transformer")
    return make(
        in_channels=64,
        num_layers=layers,
        num_single_layers=single_layers,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=64,
        timestep_guidance_channels=64,
        axes_dims_rope=(8, 8, 8, 8),
    )


def check_mflux() -> None:
    """Tries the installed mflux on a tiny transformer; raises `SigeError` in one sentence where it is not installed, or
    does not ask its cache in every attention, or not what is expected."""
    installed = mflux_version()
    transformer = tiny_transformer()
    picture = TokenPlane(2, 2)
    engine = TokenEngine(Flux2Tokens(transformer, picture), "float32")
    image, text = mx.ones((1, picture.count, 64)), mx.ones((1, 3, 64))
    try:
        dense = transformer(image, text, mx.array(0.5), image_places(picture), text_places(3))
        recorded = engine.record(0, image, text, 0.5)
        everything = ActiveTokens(range(3), range(4), 3, 4)
        again = engine.edit(0, image, text, 0.5, everything)
    except Exception as e:
        raise SigeError(f"{not_understood(installed)} its transformer refuses to be edited: {first_line(e)}") from e
    if len(engine.of(0)) != 3:
        raise SigeError(f"{not_understood(installed)} of 3 attentions {len(engine.of(0))} asked for keys and values")
    if not (mx.array_equal(recorded, dense) and mx.array_equal(again, dense)):
        raise SigeError(f"{not_understood(installed)} its transformer gives other results when it is recorded")
