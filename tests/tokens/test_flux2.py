"""FLUX.2's transformer by mflux's own classes, with small random weights."""

from __future__ import annotations

import importlib.metadata
import inspect
from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

pytest.importorskip("mflux")

from mflux.models.common.config.model_config import ModelConfig
from mflux.models.flux2.latent_creator.flux2_latent_creator import Flux2LatentCreator
from mflux.models.flux2.model.flux2_text_encoder.prompt_encoder import Flux2PromptEncoder
from mflux.models.flux2.model.flux2_transformer.attention import Flux2Attention
from mflux.models.flux2.model.flux2_transformer.transformer import Flux2Transformer

from sige_mlx.errors import SigeError
from sige_mlx.tokens import ActiveTokens, TokenEngine, TokenPlane, flux2

PICTURE, REFERENCE, TEXT = TokenPlane(8, 8), TokenPlane(4, 6), 6
SIGMAS = (1.0, 0.75, 0.4, 0.0)
FORMS = [(mx.float32, None), (mx.bfloat16, None), (mx.float32, 8), (mx.float32, 4), (mx.bfloat16, 4)]


@pytest.fixture(autouse=True)
def precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """mflux computes in bfloat16 wherever it has a choice; tests choose."""
    monkeypatch.setattr(ModelConfig, "precision", mx.float32)


def network(monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype = mx.float32, bits: int | None = None) -> Flux2Transformer:
    monkeypatch.setattr(ModelConfig, "precision", dtype)
    transformer = flux2.tiny_transformer(2, 3)
    transformer.set_dtype(dtype)
    if bits:
        nn.quantize(transformer, bits=bits, group_size=64)
    mx.eval(transformer.parameters())
    return transformer


def tokens(seed: int, dtype: mx.Dtype = mx.float32, planes: int = 1) -> tuple[mx.array, mx.array]:
    count = PICTURE.count + (REFERENCE.count if planes == 2 else 0)
    keys = mx.random.split(mx.random.key(seed))
    image, text = mx.random.normal((1, count, 64), key=keys[0]), mx.random.normal((1, TEXT, 64), key=keys[1])
    return image.astype(dtype), text.astype(dtype)


def square(side: int, planes: int = 1) -> np.ndarray:
    plane = np.zeros((PICTURE.height, PICTURE.width), bool)
    plane[1 : 1 + side, 2 : 2 + side] = True
    return np.concatenate([plane.reshape(-1), np.zeros(REFERENCE.count if planes == 2 else 0, bool)])


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize(("dtype", "bits"), FORMS)
def test_all_tokens_active_is_mflux_itself(
    monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype, bits: int | None, planes: int
) -> None:
    transformer = network(monkeypatch, dtype, bits)
    references = [REFERENCE][: planes - 1]
    places = flux2.image_places(PICTURE, references)
    image, text = tokens(2, dtype, planes)
    dense = transformer(image, text, mx.array(0.75, dtype), places, flux2.text_places(TEXT))
    engine = TokenEngine(flux2.Flux2Tokens(transformer, PICTURE, references))
    engine.record(0, *tokens(1, dtype, planes), 0.75)
    everything = ActiveTokens(range(TEXT), range(image.shape[1]), TEXT, image.shape[1])
    assert mx.array_equal(engine.edit(0, image, text, 0.75, everything), dense)
    assert mx.array_equal(engine.record(0, image, text, 0.75), dense)


@pytest.mark.parametrize("planes", [1, 2])
def test_the_original_edited_to_itself_is_the_record(monkeypatch: pytest.MonkeyPatch, planes: int) -> None:
    engine = TokenEngine(flux2.Flux2Tokens(network(monkeypatch), PICTURE, [REFERENCE][: planes - 1]), "float32")
    image, text = tokens(1, planes=planes)
    dense = engine.record(0, image, text, 0.75)
    active = ActiveTokens([2, 4], square(3, planes), TEXT, image.shape[1])
    rows, words = mx.array(active.image), mx.array(active.text)
    again = engine.edit(0, image[:, rows], text[:, words], 0.75, active)
    assert float(mx.abs(again - dense[:, rows]).max()) <= 2e-6 * max(1, float(mx.abs(dense).max()))


@pytest.mark.parametrize(("dtype", "bits"), FORMS)
def test_a_kept_text_is_no_empty_matrix(monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype, bits: int | None) -> None:
    """MLX's quantised product of an empty matrix ends the process on the CPU."""
    engine = TokenEngine(flux2.Flux2Tokens(network(monkeypatch, dtype, bits), PICTURE), "int8")
    image, text = tokens(1, dtype)
    engine.record(0, image, text, 0.75)
    active = ActiveTokens([], square(2), TEXT, PICTURE.count)
    edited = engine.edit(0, image[:, mx.array(active.image)], text[:, :1], 0.75, active)
    assert edited.shape == (1, 4, 64) and bool(mx.isfinite(edited).all())


def decibels(value: mx.array, wanted: mx.array) -> float:
    return 10 * float(mx.log10((wanted**2).sum() / ((value - wanted) ** 2).sum()))


def test_an_edit_is_nearer_to_dense_than_one_that_sees_only_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = network(monkeypatch)
    engine = TokenEngine(flux2.Flux2Tokens(transformer, PICTURE), "float32")
    image, text = tokens(1)
    active = ActiveTokens([], square(3), TEXT, PICTURE.count)
    rows = mx.array(active.image)
    changed = mx.array(image)
    changed[:, rows] = tokens(2)[0][:, rows]
    alone, within = changed[:, rows], changed[:, rows]
    original = image
    for step, (sigma, following) in enumerate(pairwise(SIGMAS)):
        original = original + (following - sigma) * engine.record(step, original, text, sigma)
        places = (flux2.image_places(PICTURE), flux2.text_places(TEXT))
        changed = changed + (following - sigma) * transformer(changed, text, mx.array(sigma), *places)
        within = within + (following - sigma) * engine.edit(step, within, text[:, :1], sigma, active)
        alone = alone + (following - sigma) * transformer(alone, text, mx.array(sigma), places[0][rows], places[1])
    assert decibels(within, changed[:, rows]) >= decibels(alone, changed[:, rows]) + 10


def test_positions_are_those_of_mflux() -> None:
    planes = [Flux2LatentCreator.prepare_grid_ids(mx.zeros((1, 1, 8, 8)), t_coord=0)[0]]
    planes.append(Flux2LatentCreator.prepare_grid_ids(mx.zeros((1, 1, 4, 6)), t_coord=10)[0])
    planes.append(Flux2LatentCreator.prepare_grid_ids(mx.zeros((1, 1, 4, 6)), t_coord=20)[0])
    assert mx.array_equal(flux2.image_places(PICTURE, [REFERENCE, REFERENCE]), mx.concatenate(planes))
    assert mx.array_equal(flux2.text_places(7), Flux2PromptEncoder.prepare_text_ids(mx.zeros((1, 7, 3)))[0])


def test_the_installed_mflux_is_understood() -> None:
    flux2.check_mflux()
    asked = {"hidden_states", "encoder_hidden_states", "timestep", "img_ids", "txt_ids", "kv_cache"}
    assert asked <= {*inspect.signature(Flux2Transformer.__call__).parameters}


def test_an_mflux_that_is_not_understood_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flux2, "version", lambda name: "9.9")
    dense = Flux2Attention.__call__

    def unasked(self, *given, kv_cache=None, **named):
        return dense(self, *given, **named)

    monkeypatch.setattr(Flux2Attention, "__call__", unasked)
    with pytest.raises(SigeError, match=r"^mflux 9\.9 is not understood \(known: .*\): of 3 attentions 2 asked"):
        flux2.check_mflux()


def test_a_cache_that_is_asked_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(flux2._Asking, "compute_extract_attention")
    with pytest.raises(SigeError, match=r"^mflux .* refuses to be edited: .*compute_extract_attention"):
        flux2.check_mflux()


def test_a_moved_module_and_no_mflux_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SigeError, match=r"^mflux .* is not understood .* Nothing of mflux\.gone is not there: No module"
    ):
        flux2.member("mflux.gone", "Nothing")

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(flux2, "version", missing)
    with pytest.raises(SigeError, match=r"not installed: pip install 'mflux>=0\.18\.1'$"):
        flux2.check_mflux()
