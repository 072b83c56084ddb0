"""FLUX.2-klein as it edits pictures: transformer, autoencoder, the words of a prompt and noise levels, loaded by mflux;
and a tiny one with random weights, by which everything but the pictures' beauty can be tried."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from sige_mlx.converters.families.kl_autoencoder import layouts
from sige_mlx.engine.recordings import Codec
from sige_mlx.engine.staged import StagedNetwork
from sige_mlx.errors import SigeError, first_line
from sige_mlx.models.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig
from sige_mlx.nn.module import parameters
from sige_mlx.token_models import KLEIN, MODELS, TINY
from sige_mlx.tokens import flux2
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.plan import BITS, TEXT_PARAMETERS, TEXT_TOKENS, Plan, planes_of
from sige_mlx.tokens.stored import RECORD_PRECISIONS

_TINY_SIZES = Flux2Sizes(2, 3, heads=2, head_dim=32, channels=64, text_width=64, time_channels=64)
_TINY_TEXT = 16
_TINY_AUTOENCODER = 1_840_152
"""Bytes."""

_BEFOREHAND: dict[str, tuple[Flux2Sizes, int, int, Codec]] = {
    KLEIN: (Flux2Sizes(), 16, TEXT_TOKENS, "bfloat16"),
    TINY: (_TINY_SIZES, 4, _TINY_TEXT, "float32"),
}
"""Sizes, pixels along a side of a token, text tokens, and what keys and values are kept in where nobody says."""

REPOSITORY = "black-forest-labs/FLUX.2-klein-4B"
"""From where mflux fetches klein's weights."""

LARGEST = {KLEIN: 1024, TINY: 64}
"""Pixels along a side of the largest window, where nobody asks for another."""


@dataclass(frozen=True)
class Prompt:
    """What the transformer reads of words."""

    tokens: mx.array
    """[1, T, E]"""
    real: npt.NDArray[np.bool_]
    """(T,): those that are no padding."""


@dataclass(frozen=True)
class Pipeline:
    """A model that edits by tokens. `prompt` and `levels` are called with words, and with the image tokens and the
    steps; noise levels fall from 1 to 0, one more than there are steps."""

    name: str
    transformer: Any
    autoencoder: KLAutoencoder
    sizes: Flux2Sizes
    prompt: Callable[[str], Prompt]
    levels: Callable[[int, int], list[float]]
    dtype: mx.Dtype
    bits: int = 16
    prompt_tokens: int = TEXT_TOKENS
    text_parameters: float = TEXT_PARAMETERS
    """Of the text encoder."""

    @property
    def patch(self) -> int:
        """Pixels along a side of a token."""
        return 2 * self.autoencoder.config.factor

    @property
    def layers(self) -> list[tuple[str, int]]:
        """What attentions go by: their streams, and their places in these."""
        counts = {"double": self.sizes.double_layers, "single": self.sizes.single_layers}
        return [(stream, layer) for stream, count in counts.items() for layer in range(count)]

    @cached_property
    def encoder(self) -> StagedNetwork:
        """The autoencoder's half that reads pictures, as programs."""
        return StagedNetwork(self.autoencoder.encoder)

    @cached_property
    def decoder(self) -> StagedNetwork:
        """The autoencoder's half that makes pictures, as programs."""
        return StagedNetwork(self.autoencoder.decoder)

    @property
    def autoencoder_nbytes(self) -> int:
        """Bytes of its weights, which programs have once more, packed."""
        return 2 * sum(array.nbytes for array in parameters(self.autoencoder).values())


def planned(
    name: str,
    picture: tuple[int, int],
    references: Sequence[tuple[int, int]],
    steps: int,
    strength: float,
    bits: int | None = None,
    precision: str | None = None,
) -> Plan:
    """What editing a picture (H, W) will take of memory, before anything is loaded. Raises `SigeError` for weights and
    a record that there are not."""
    if precision is not None and precision not in RECORD_PRECISIONS:
        raise SigeError(f"a record in {precision!r} is not known: take one of {', '.join(RECORD_PRECISIONS)}")
    _check_bits(bits)
    own, patch, text, own_precision = _BEFOREHAND[name]
    largest = LARGEST[name]
    height, width = (min(-(-side // patch) * patch, largest) for side in picture)
    scales = [min(1.0, largest / max(h * w, 1) ** 0.5) for h, w in references]
    sides = [(round(h * s), round(w * s)) for (h, w), s in zip(references, scales, strict=True)]
    planes = planes_of((height, width), sides, patch)
    ran = max(1, round(steps * strength))
    plan = Plan(own, planes, ran, bits or 16, precision or own_precision, text)
    return plan if name == KLEIN else replace(plan, text_parameters=0.0, autoencoder=_TINY_AUTOENCODER, value=4)


def fitting(
    name: str,
    picture: tuple[int, int],
    references: Sequence[tuple[int, int]],
    steps: int,
    strength: float,
    bits: Sequence[int | None],
    precision: str | None = None,
) -> Plan:
    """How a picture (H, W) can be edited within the memory that there is: with weights in the first of some `bits` that
    fit, and a record in a precision, by default the model's own or else int8. Raises `SigeError` where nothing fits,
    with what would."""
    precisions = [precision] if precision else [None, "int8"]
    plans = [
        planned(name, picture, references, steps, strength, weights, record)
        for record in precisions
        for weights in bits
    ]
    fits = next((plan for plan in plans if plan.fits()), plans[0])
    fits.check()
    return fits


def downloaded(name: str) -> bool:
    """Whether the weights of a model are on this machine, so that nothing has to be fetched from the hub."""
    return name == TINY or folder() is not None


def folder() -> Path | None:
    """Where klein's weights are on this machine, and all else that mflux reads of it; None where a part is missing.
    What is loaded from a folder asks the hub for nothing."""
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"
    found = [
        at
        for at in snapshots.glob("*")
        if (at / "tokenizer" / "tokenizer.json").is_file()
        and all(_whole(at / part) for part in ("transformer", "text_encoder", "vae"))
    ]
    return max(found, key=lambda at: at.stat().st_mtime, default=None)


def _whole(network: Path) -> bool:
    """Whether all files of a network's weights are in a folder: the only one, or those that an index names."""
    here = {file.name for file in network.glob("*.safetensors") if file.is_file()}  # a link may lead nowhere
    indices = [*network.glob("*.safetensors.index.json")]
    try:
        wanted = {name for index in indices for name in json.loads(index.read_bytes())["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(here) and (wanted <= here if indices else not any("-of-" in name for name in here))


def load(name: str, bits: int | None = None, path: str | None = None, lora: Sequence[str] = ()) -> Pipeline:
    """A model by name, in its published weights or quantised to 8 or 4 `bits`; of klein also from a folder, or another
    repository of the hub, and with files of LoRA. Raises `SigeError` for what there is not."""
    _check_bits(bits)
    if name == TINY:
        if lora:
            raise SigeError(f"{TINY} has random weights, which no LoRA is for")
        return tiny(bits=bits or 16)
    if name != KLEIN:
        raise SigeError(f"{name!r} is no model that edits by tokens: they are {' and '.join(MODELS)}")
    flux2.check_mflux()
    make = flux2.member("mflux.models.flux2.variants", "Flux2KleinEdit")
    quantize = None if bits in (None, 16) else bits

    def loaded() -> Any:
        try:
            return make(quantize=quantize, model_path=path, lora_paths=[*lora] or None)
        except Exception as e:  # whatever mflux, the hub or the disk raise
            raise SigeError(f"mflux cannot load {path or KLEIN}: {first_line(e)}") from e

    model = loaded()
    words = _Words(loaded, model)
    autoencoder = _autoencoder(model.vae)
    model.vae = None
    dtype = model.transformer.norm_out.linear.weight.dtype
    dtype = dtype if dtype in (mx.bfloat16, mx.float16, mx.float32) else mx.bfloat16
    return Pipeline(name, model.transformer, autoencoder, Flux2Sizes(), words, _levels, dtype, model.bits or 16)


def _check_bits(bits: int | None) -> None:
    if bits not in (None, *BITS):
        raise SigeError(f"weights of {bits} bits are not known: take {', '.join(map(str, BITS[:-1]))} or {BITS[-1]}")


class _Words:
    """mflux's text encoder, which is forgotten when it has read a prompt, and loaded again for another."""

    def __init__(self, load: Callable[[], Any], model: Any):
        self._load, self._model = load, model
        self._known: dict[str, Prompt] = {}

    def __call__(self, words: str) -> Prompt:
        if words not in self._known:
            model = self._model or self._load()
            self._model = None
            encode = flux2.member(
                "mflux.models.flux2.model.flux2_text_encoder.prompt_encoder", "Flux2PromptEncoder"
            ).encode_prompt
            tokenizer = model.tokenizers["qwen3"]
            tokens, _ = encode(words, tokenizer=tokenizer, text_encoder=model.text_encoder)
            real = np.asarray(tokenizer.tokenize(prompt=words, max_length=tokens.shape[1]).attention_mask)
            mx.eval(tokens)
            self._known[words] = Prompt(tokens, real.reshape(-1).astype(np.bool_))
            model.text_encoder = None
            mx.clear_cache()
        return self._known[words]


def _levels(tokens: int, steps: int) -> list[float]:
    """As mflux has them, shifted by the number of image tokens."""
    of = flux2.member(
        "mflux.models.common.schedulers.flow_match_euler_discrete_scheduler", "FlowMatchEulerDiscreteScheduler"
    ).get_timesteps_and_sigmas
    levels: list[float] = of(image_seq_len=tokens, num_inference_steps=steps)[1].tolist()
    return levels


def _autoencoder(theirs: Any) -> KLAutoencoder:
    """Ours with the weights of mflux's, which has diffusers' names but for one."""
    given = {
        name.replace(".to_out.", ".to_out.0."): np.moveaxis(value, -1, 1) if value.ndim == 4 else value
        for name, array in parameters(theirs).items()
        for value in [np.asarray(array.astype(mx.float32))]
    }
    ours = KLAutoencoder(KLAutoencoderConfig())
    sources = layouts(ours.config)[1].sources
    try:
        ours.load_weights([(name, mx.array(of.build(given.__getitem__))) for name, of in sources.items()])
    except (KeyError, ValueError) as e:
        raise SigeError(f"{flux2.not_understood(flux2.mflux_version())} its autoencoder is another: {e}") from e
    mx.eval(ours.parameters())
    return ours


def tiny(seed: int = 0, bits: int = 16) -> Pipeline:
    """All parts of klein as small as they can be, with random weights, of which those of the transformer can be
    quantised as klein's are."""
    mx.random.seed(seed)
    transformer = flux2.tiny_transformer(2, 3)
    if bits != 16:
        nn.quantize(transformer, group_size=64, bits=bits)
    autoencoder = KLAutoencoder(KLAutoencoderConfig((64, 64), 16, 32, (1, 1), 1))
    # As of trained ones, latents have about mean 0 and variance 1.
    latents = autoencoder.encoder(mx.random.uniform(-1, 1, (1, 64, 64, 3)))
    flat = autoencoder.normalised(latents).reshape(-1, 64)
    autoencoder.bn.running_mean, autoencoder.bn.running_var = flat.mean(axis=0), flat.var(axis=0)
    mx.eval(transformer.parameters(), autoencoder.parameters())

    def prompt(words: str) -> Prompt:
        tokens = mx.random.normal((1, _TINY_TEXT, 64), key=mx.random.key(zlib.crc32(words.encode())))
        return Prompt(tokens, np.arange(_TINY_TEXT) < len(words.split()))

    return Pipeline(TINY, transformer, autoencoder, _TINY_SIZES, prompt, _levels, mx.float32, bits, _TINY_TEXT, 0.0)
