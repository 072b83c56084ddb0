"""Weights under spectral or weight normalisation, as every version of PyTorch wrote them, in every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from sige_mlx.converters import convert
from sige_mlx.converters.families.family import Layout, Source, Transposed, whole
from sige_mlx.converters.families.reparametrised import adapted, form_of
from tests.converters.families.recognition import check_faults_are_named, shapes
from tests.converters.networks import Arrays, ddpm, pd, resnet_generator, spade, sub_mobile_spade
from tests.converters.writer import save

RNG = np.random.default_rng(0)


def spectral(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A weight with vectors u, v that are nearly singular ones, and what it is divided by their norm."""
    matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    u = RNG.standard_normal(len(matrix)).astype(np.float32)
    for _ in range(3):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return weight, u, v, weight / (u @ matrix @ v)


def torch_1(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    weight, u, v, folded = spectral(weight, axis)
    return {"weight_orig": weight, "weight_u": u, "weight_v": v}, folded


def torch_2(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    weight, u, v, folded = spectral(weight, axis)
    names = ("original", "0._u", "0._v")
    return {f"parametrizations.weight.{n}": a for n, a in zip(names, (weight, u, v), strict=True)}, folded


def torch_0_4(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    weight, u, _, folded = spectral(weight, axis)
    return {"weight_orig": weight, "weight": folded, "weight_u": u}, folded


def without_v(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    weight, u, _, _ = spectral(weight, axis)
    matrix = np.moveaxis(weight, axis, 0).reshape(len(u), -1)
    v = matrix.T @ u
    return {"weight_orig": weight, "weight_u": u}, weight / np.linalg.norm(matrix @ (v / np.linalg.norm(v)))


def weight_norm(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    g = RNG.standard_normal((len(weight), *(1 for _ in weight.shape[1:])), np.float32)
    norms = np.sqrt(np.square(weight).sum(tuple(range(1, weight.ndim)), keepdims=True))
    return {"weight_g": g, "weight_v": weight}, g * weight / norms


def weight_norm_2(weight: np.ndarray, axis: int) -> tuple[Arrays, np.ndarray]:
    kept, folded = weight_norm(weight, axis)
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {names[name]: value for name, value in kept.items()}, folded


WAYS = (torch_1, torch_2, torch_0_4, without_v, weight_norm, weight_norm_2)
NETWORKS: dict[str, Callable[[], Arrays]] = {
    "ddpm": ddpm,
    "pd": pd,
    "spade": spade,
    "sub_mobile_spade": sub_mobile_spade,
    "resnet_generator": resnet_generator,
}


def kept(arrays: Arrays, way: Any) -> tuple[Arrays, Arrays]:
    """A state dict with its convolutions in a form, and the same with what they are."""
    state: Arrays = {}
    folded: Arrays = {}
    up = [name for name in arrays if name in ("model.16.weight", "model.19.weight")]  # transposed, of the generator
    for name, value in arrays.items():
        if name.endswith(".weight") and value.ndim == 4:
            parts, folded[name] = way(value, int(name in up))
            state |= {name.removesuffix("weight") + leaf: part for leaf, part in parts.items()}
        else:
            state[name] = folded[name] = value
    return state, folded


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", NETWORKS)
def test_every_form_in_every_family(family: str, way: Any, tmp_path: Path) -> None:
    state, folded = kept(NETWORKS[family](), way)
    made = convert(save(tmp_path / "kept.pth", state), tmp_path / "kept")
    convert(save(tmp_path / "plain.pth", folded), tmp_path / "plain")
    assert made.family == family
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "plain"))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_of_one_is_named(way: Any) -> None:
    tensors = shapes(kept(spade(), way)[0])
    layer = "up_1.conv_0.weight"
    for name in [name for name in tensors if name.startswith("up_1.conv_0.") and name != "up_1.conv_0.bias"]:
        if name != layer:
            check_faults_are_named(tensors, name, (*tensors[name], 1), "spade")


def built(layer: Any, source: Source) -> np.ndarray:
    state = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    layout = Layout({"w": source})
    sizes = {name: value.shape for name, value in state.items()}
    found = adapted(layout, form_of(sizes), sizes).sources["w"]
    assert found.tensors == {name: shape for name, shape in sizes.items() if name != "bias"}
    return found.build(state.__getitem__)


@pytest.mark.parametrize("norm", ["spectral_norm", "weight_norm"])
@pytest.mark.parametrize("new", [False, True])
def test_they_are_pytorchs(norm: str, new: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    wrap = getattr(torch.nn.utils.parametrizations if new else torch.nn.utils, norm)
    for layer, source in (
        (torch.nn.Conv2d(5, 7, 3), whole("weight", (7, 5, 3, 3))),
        (torch.nn.ConvTranspose2d(6, 6, 3), Transposed(whole("weight", (6, 6, 3, 3)).rows)),
    ):
        layer = wrap(layer)
        channels = layer.weight.shape[0 if isinstance(source, Transposed) else 1]
        layer(torch.randn(1, channels, 8, 8))  # a step of the power iteration, which training makes
        layer.eval()(torch.zeros(1, channels, 3, 3))
        weight = layer.weight.detach().numpy()
        axes = (1, 2, 3, 0) if isinstance(source, Transposed) else (0, 2, 3, 1)
        np.testing.assert_allclose(built(layer, source), weight.transpose(axes), rtol=1e-5)
