"""Networks and pipelines that diffusers itself made: exact tensors, and outputs as it computes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig
from tests.converters.networks import diffusers_config, diffusers_ddpm

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

NAME = "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def theirs() -> Any:
    """A UNet2DModel with DDPM's settings."""
    torch.manual_seed(0)
    settings = {name: value for name, value in diffusers_config(THEIRS).items() if not name.startswith("_")}
    return diffusers.UNet2DModel(**settings).eval()


THEIRS = DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(16,))
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def saved_safely(network: Any, folder: Path) -> None:
    network.save_pretrained(folder)


def pickled(network: Any, folder: Path) -> None:
    network.save_pretrained(folder, safe_serialization=False)


def with_old_names(network: Any, folder: Path) -> None:
    network.save_pretrained(folder)
    (folder / f"{NAME}.safetensors").unlink()
    state = {}
    for name, value in network.state_dict().items():
        for new, old in OLD.items():
            name = name.replace(f".{new}.", f".{old}.")
        state[name] = value
    torch.save(state, folder / f"{NAME}.bin")


def in_shards(network: Any, folder: Path) -> None:
    network.save_pretrained(folder, max_shard_size="200KB")


@pytest.mark.parametrize("write", [saved_safely, pickled, with_old_names, in_shards])
def test_diffusers_own_networks(tmp_path: Path, theirs: Any, write: Callable[[Any, Path], None]) -> None:
    """Exact tensors, and outputs within 1e-4 of what diffusers makes of the same folder."""
    import diffusers

    write(theirs, tmp_path / "net")
    loaded = diffusers.UNet2DModel.from_pretrained(tmp_path / "net", low_cpu_mem_usage=False)
    made = convert(tmp_path / "net", tmp_path / "m")
    assert (made.config, made.notes) == (THEIRS, ())
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    found = load_file(tmp_path / "m" / "model.safetensors")
    ours = diffusers_ddpm({n: v.transpose(0, 3, 1, 2) if v.ndim == 4 else v for n, v in found.items()})
    assert ours.keys() == state.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, state[name])
    x = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(1))
    t = torch.tensor([3, 741])
    with torch.no_grad():
        expected = loaded(x, t).sample.numpy().transpose(0, 2, 3, 1)
    network = zoo.load(tmp_path / "m").module()
    output = np.asarray(network(mx.array(x.numpy().transpose(0, 2, 3, 1)), mx.array(t.numpy().astype(np.float32))))
    assert np.abs(output - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_pipeline_of_diffusers(tmp_path: Path, theirs: Any) -> None:
    diffusers.DDPMPipeline(theirs, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "usual")
    assert convert(tmp_path / "usual", tmp_path / "m").notes == ()
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    diffusers.DDPMPipeline(theirs, scheduler).save_pretrained(tmp_path / "other")
    assert len(convert(tmp_path / "other", tmp_path / "n").notes) == 2


def test_settings_of_diffusers_that_compute_something_else(tmp_path: Path) -> None:
    """Its own defaults: the tensors have the same names and shapes, and the outputs would be others."""
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    network = diffusers.UNet2DModel(sample_size=32, block_out_channels=(32, 64), layers_per_block=1, **blocks)
    network.save_pretrained(tmp_path / "net")
    with pytest.raises(SigeError, match="its setting flip_sin_to_cos is true; false would be right"):
        convert(tmp_path / "net", tmp_path / "m")
