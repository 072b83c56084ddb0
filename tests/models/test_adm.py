"""The U-Net of Dhariwal & Nichol: size and cost, PyTorch's numbers through a converted file, edits, what it refuses."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES, build
from sige_mlx.graph.cost import dense_cost
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.adm import ADMConfig
from sige_mlx.nn.module import parameters
from tests.engine.rounding import assert_agree


def test_size_and_cost_are_pytorchs() -> None:
    """All but the rows of the last convolution that predict variances."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.torch_models import adm_unet

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        twin = adm_unet.ADMUNet(adm_unet.ADMConfig())
        twin(torch.zeros(1, 3, 256, 256), torch.zeros(1))
    published = zoo.network("adm-bedroom-256").model
    ours = sum(parameter.size for parameter in parameters(published).values())
    assert ours == sum(p.numel() for p in twin.parameters()) - 3 * (256 * 9 + 1)
    expected = counter.get_total_flops() // 2 - 3 * 256 * 9 * 256**2
    assert dense_cost(Lowered.of(published, EditPolicy())).macs == expected


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    levels = draw(st.integers(1, 3))
    return {
        "image_size": 4 * 2 ** (levels - 1) * draw(st.integers(1, 2)),
        "ch": 32,
        "ch_mult": tuple(draw(st.sampled_from([1, 2, 3])) for _ in range(levels)),
        "num_res_blocks": draw(st.integers(1, 2)),
        "attn_resolutions": tuple(r for r in (4, 8, 16) if draw(st.booleans())),
        "in_ch": draw(st.integers(1, 4)),
        "head_dim": draw(st.sampled_from([8, 16, 32])),
    }


@settings(max_examples=6)  # PyTorch is slow to build networks
@given(configs(), st.sampled_from([1, 2]))
def test_a_converted_file_gives_pytorchs_noise(config: dict[str, Any], pictures: int) -> None:
    """Whether it predicts variances, too, or the noise alone."""
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import adm_unet

    torch.manual_seed(0)
    ch = config["in_ch"]
    twin = adm_unet.ADMUNet(adm_unet.ADMConfig(**config, out_ch=pictures * ch)).eval()
    size, heads = config["image_size"], {"head_dim": config["head_dim"]}
    with TemporaryDirectory() as folder:
        torch.save(twin.state_dict(), Path(folder) / "net.pt")
        made = convert(Path(folder) / "net.pt", Path(folder) / "model", image_size=size, settings=heads)
        model = zoo.load(Path(folder) / "model").module()
    assert made.family == "adm"
    attending = [r for r in config["attn_resolutions"] if r in [size >> i for i in range(len(config["ch_mult"]))]]
    assert made.config == ADMConfig(**{**config, "attn_resolutions": tuple(attending)}, out_ch=ch)

    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, size, size, ch), np.float32), np.array([0, 731], np.float32)
    with torch.inference_mode():
        expected = twin(torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.from_numpy(t))[:, :ch]
    expected = expected.permute(0, 2, 3, 1).numpy()
    found = np.asarray(model(mx.array(x), mx.array(t)))
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_edits_are_the_reference_executors() -> None:
    fields, tiles_from = FAMILIES["adm"].small
    mask = np.zeros((32, 32), np.bool_)
    mask[5:14, 20:31] = True
    assert_agree(build("adm", dict(fields)), mask, tiles_from=tiles_from)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"ch": 48}, r"^ADM: ch is 48; its group normalisation takes a multiple of 32$"),
        ({"image_size": 100}, r"^ADM: image_size is 100; its 6 levels take a multiple of 32$"),
        ({"head_dim": 0}, r"^ADM: head_dim is 0; attention over 512 channels takes a divisor$"),
        ({"ch_mult": [1, 3], "ch": 32, "head_dim": 64}, r"^ADM: head_dim is 64; attention over 96 channels"),
    ],
)
def test_wrong_configurations_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        build("adm", config)
