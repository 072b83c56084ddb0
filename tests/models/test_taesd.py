"""The tiny autoencoders through the graph compiler, and what sizes they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.models.taesd import TinyAutoencoder, TinyAutoencoderConfig, TinyDecoder, TinyEncoder
from sige_mlx.nn.module import parameters

SMALL = TinyAutoencoderConfig((64, 96), latent_channels=4, width=8)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("kind", [TinyDecoder, TinyEncoder])
def test_executors_run_what_the_module_computes(kind: type[TinyDecoder | TinyEncoder], device: str) -> None:
    network = kind(SMALL)
    mx.eval(network.parameters())
    x = mx.random.normal(network.inputs()["x"])
    dense = network(x)
    assert float(dense.std()) > 1e-3
    assert mx.allclose(Engine(network, device=device)(x=x), dense, atol=1e-5)


def test_an_eighth_of_the_picture_and_back() -> None:
    assert TinyEncoder(SMALL)(mx.zeros((1, 64, 96, 3))).shape == (1, 8, 12, 4)
    assert TinyDecoder(SMALL)(mx.zeros((1, 8, 12, 4))).shape == (1, 64, 96, 3)


def test_sizes_that_it_has_not_are_refused() -> None:
    with pytest.raises(SigeError, match="a picture of 96×60 pixels"):
        TinyAutoencoderConfig((60, 96))
    with pytest.raises(SigeError, match="width 0; they must be 1 or more"):
        TinyAutoencoderConfig(width=0)


def by_torch(x: Any, config: dict[str, Any], folder: Path) -> Any:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    network = diffusers.AutoencoderTiny(**config).eval()
    network.save_pretrained(folder)
    with torch.no_grad():
        latents = network.encoder(torch.tensor(x).permute(0, 3, 1, 2))
        return latents, network.decoder(latents)


def test_converted_from_diffusers_it_computes_the_same(tmp_path: Path) -> None:
    """Diffusers' halves have pictures in [-1, 1], ours in [0, 1]; and ours have a third of latents."""
    x = np.random.default_rng(0).uniform(-1, 1, (1, 32, 48, 3)).astype(np.float32)
    latents, picture = by_torch(x, {"latent_channels": 16}, tmp_path / "tae")
    made = convert(tmp_path / "tae", tmp_path / "m")
    assert (made.family, made.config.latent_channels, made.config.pooled) == ("taesd", 16, False)
    ours = zoo.load(tmp_path / "m").module()
    for found, wanted in (
        (3 * ours.encoder(mx.array((x + 1) / 2)), latents),
        (2 * ours(mx.array((x + 1) / 2)) - 1, picture),
    ):
        expected = wanted.numpy().transpose(0, 2, 3, 1)
        assert np.abs(np.asarray(found) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_authors_two_files_are_one_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    network = TinyAutoencoder(SMALL)
    mx.eval(network.parameters())
    halves: dict[str, dict[str, Any]] = {"encoder": {}, "decoder": {}}
    for name, value in parameters(network).items():
        half, _, index, rest = name.split(".", 3)
        tensor = np.asarray(value)
        tensor = np.moveaxis(tensor, -1, 1) if tensor.ndim == 4 else tensor
        halves[half][f"{int(index) + (half == 'decoder')}.{rest}"] = torch.tensor(tensor.copy())
    for half, state in halves.items():
        torch.save(state, tmp_path / f"tae_{half}.pth")
    for source in (tmp_path, tmp_path / "tae_decoder.pth"):
        convert(source, tmp_path / "model" / "m", image_size=64, force=True)
    found = parameters(zoo.load(tmp_path / "model" / "m").module())
    assert found.keys() == parameters(network).keys()
    scaled = {"encoder.layers.14.weight": 3, "encoder.layers.14.bias": 3, "decoder.layers.0.weight": 1 / 3}
    for name, value in parameters(network).items():
        assert mx.allclose(found[name] * scaled.get(name, 1), value, rtol=1e-6, atol=0)
