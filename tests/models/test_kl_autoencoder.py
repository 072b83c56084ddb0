"""The autoencoder of latent diffusion: as diffusers has it, through the graph compiler, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.editing.opening import Model
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.trace import trace
from sige_mlx.models.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig, KLDecoder, KLEncoder

SMALL = KLAutoencoderConfig((32, 48), latent_channels=4, ch=32, ch_mult=(1, 2), num_res_blocks=1)


def random_network(config: KLAutoencoderConfig = SMALL) -> KLAutoencoder:
    network = KLAutoencoder(config)
    mx.eval(network.parameters())
    return network


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_executors_run_what_the_module_computes(half: str, device: str) -> None:
    network = random_network()[half]
    x = mx.random.normal(network.inputs()["x"])
    dense = network(x)
    assert float(dense.std()) > 1e-3
    assert mx.allclose(Engine(network, device=device)(x=x), dense, atol=1e-5)


def test_work_of_the_published_size() -> None:
    """GMACs at 512², as the shapes of Stable Diffusion's and FLUX's have them."""
    counted = []
    for half in (KLEncoder(KLAutoencoderConfig()), KLDecoder(KLAutoencoderConfig())):
        graph = trace(half, half.inputs())
        counted.append(sum(graph.macs(node) for node in graph.nodes) / 1e9)
    assert counted == pytest.approx([559, 1258], rel=0.002)


@pytest.mark.parametrize("patched", [True, False])
def test_latents_are_normalised_and_back(patched: bool) -> None:
    config = KLAutoencoderConfig((32, 48), 4, 32, (1, 2), 1, patched=patched, scaling=0.2, shift=0.1)
    network = random_network(config)
    if patched:
        network.bn.running_mean, network.bn.running_var = mx.arange(16) / 8, 0.5 + mx.arange(16) / 16
    latents = mx.random.normal((2, 16, 24, 4))
    normalised = network.normalised(latents)
    assert normalised.shape == ((2, 8, 12, 16) if patched else latents.shape)
    assert mx.allclose(network.latents(normalised), latents, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image_size": (60, 64)}, "a picture of 64×60 pixels"),
        ({"ch": 48}, "ch is 48; its group normalisation takes a multiple of 32"),
        ({"ch_mult": ()}, "one multiplier a level"),
        ({"num_res_blocks": 0}, "num_res_blocks is 0"),
        ({"scaling": 0.0}, "its scaling is 0"),
    ],
)
def test_what_it_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SigeError, match=said):
        KLAutoencoderConfig(**fields)


WIDTHS = {"block_out_channels": (32, 64), "layers_per_block": 1}
BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


def theirs(kind: str) -> Any:
    """A random network of diffusers: Stable Diffusion's, FLUX.1's or FLUX.2's."""
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    if kind == "FLUX.2":
        made = diffusers.AutoencoderKLFlux2(latent_channels=8, **WIDTHS, **BLOCKS)
        made.bn.running_mean.normal_()
        made.bn.running_var.uniform_(0.5, 2)
    elif kind == "FLUX.1":
        convolutions = {"use_quant_conv": False, "use_post_quant_conv": False}
        of = {"latent_channels": 8, "scaling_factor": 0.3611, "shift_factor": 0.1159}
        made = diffusers.AutoencoderKL(**of, **convolutions, **WIDTHS, **BLOCKS)
    else:
        made = diffusers.AutoencoderKL(latent_channels=4, **WIDTHS, **BLOCKS)
    for parameter in made.parameters():  # so that no norm and no bias does nothing
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape)
    return made.eval()


@pytest.mark.parametrize("kind", ["Stable Diffusion", "FLUX.1", "FLUX.2"])
def test_converted_from_diffusers_it_computes_the_same(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")

    network = theirs(kind)
    network.save_pretrained(tmp_path / "vae")
    made = convert(tmp_path / "vae", tmp_path / "m")
    assert (made.family, made.notes) == ("kl_autoencoder", ())
    ours = zoo.load(tmp_path / "m").module()
    if kind != "FLUX.2":
        assert (ours.config.scaling, ours.config.shift) == {
            "Stable Diffusion": (0.18215, 0),
            "FLUX.1": (0.3611, 0.1159),
        }[kind]
    x = torch.rand(1, 3, 32, 48, generator=torch.manual_seed(1)) * 2 - 1
    with torch.no_grad():
        means = network.encode(x).latent_dist.mode()
        decoded = network.decode(means).sample
    for expected, found in (
        (means, ours.encoder(mx.array(x.numpy().transpose(0, 2, 3, 1)))),
        (decoded, ours.decoder(mx.array(means.numpy().transpose(0, 2, 3, 1)))),
    ):
        wanted = expected.numpy().transpose(0, 2, 3, 1)
        assert np.abs(np.asarray(found) - wanted).max() <= 1e-5 * np.abs(wanted).max()
    if kind == "FLUX.2":
        from diffusers import Flux2KleinPipeline

        patches = Flux2KleinPipeline._patchify_latents(means)
        mean = network.bn.running_mean.view(1, -1, 1, 1)
        std = torch.sqrt(network.bn.running_var.view(1, -1, 1, 1) + network.config.batch_norm_eps)
        wanted = ((patches - mean) / std).numpy().transpose(0, 2, 3, 1)
        found = np.asarray(ours.normalised(mx.array(means.numpy().transpose(0, 2, 3, 1))))
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_the_authors_own_names(tmp_path: Path) -> None:
    """As in the files of Stable Diffusion's and FLUX.2's authors: those of our parameters, with both moments."""
    torch = pytest.importorskip("torch")

    from sige_mlx.nn.module import parameters

    network = random_network()
    state = {}
    for name, value in parameters(network).items():
        tensor = np.asarray(value)
        if name.startswith("encoder.quant_conv."):
            tensor = np.concatenate([tensor, tensor + 1])
        plain = name.replace("encoder.quant_conv.", "quant_conv.").replace(
            "decoder.post_quant_conv.", "post_quant_conv."
        )
        state[plain] = torch.tensor(np.moveaxis(tensor, -1, 1) if tensor.ndim == 4 else tensor)
    state["bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(state, tmp_path / "ae.pth")
    convert(tmp_path / "ae.pth", tmp_path / "m", image_size=32)
    ours = zoo.load(tmp_path / "m").module()
    for name, value in parameters(network).items():
        assert mx.array_equal(parameters(ours)[name], value)


def test_it_edits_no_picture_by_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    network = theirs("Stable Diffusion")
    torch.save(network.state_dict(), tmp_path / "vae.pth")
    assert "latents are scaled as Stable Diffusion's" in " ".join(convert(tmp_path / "vae.pth", tmp_path / "m").notes)
    with pytest.raises(SigeError, match="m turns pictures into latents and back: it edits none by itself"):
        Model(zoo.load(tmp_path / "m")).session(np.zeros((32, 32, 3), np.uint8))
