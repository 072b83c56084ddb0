"""The DDPM U-Net: the published parameters, PyTorch's numbers, and what it refuses."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES, build
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.models.networks import frozen_network, load_torch_weights
from tests.reference import case_names, load_case, load_manifest


def nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def test_names_and_shapes_are_the_published_ones() -> None:
    published = {name: nhwc(shape) for name, shape in load_manifest("ddpm-church-256").items()}
    assert {name: tuple(p.shape) for name, p in tree_flatten(DDPMUNet(DDPMConfig()).parameters())} == published


@pytest.mark.parametrize("name", [n for n in case_names("ddpm-small") if "trajectory" not in n])
@pytest.mark.parametrize("which", ["original", "edited"])
def test_output_is_that_of_the_original_network(name: str, which: str) -> None:
    case = load_case(name)
    found = frozen_network("ddpm-small").model(mx.array(case[f"x_{which}"]), mx.array(case["timestep"].reshape(1)))
    expected = case[f"dense_{which}"]
    assert np.linalg.norm(np.asarray(found) - expected) <= 1e-5 * np.linalg.norm(expected)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    levels = draw(st.integers(1, 3))
    size = 4 * 2 ** (levels - 1) * draw(st.integers(1, 2))
    return {
        "image_size": size,
        "ch": 32,
        "ch_mult": tuple(draw(st.sampled_from([1, 2, 3])) for _ in range(levels)),
        "num_res_blocks": draw(st.integers(1, 2)),
        "attn_resolutions": tuple(r for r in (4, 8, 16) if draw(st.booleans())),
        "in_ch": draw(st.integers(1, 4)),
        "out_ch": draw(st.integers(1, 6)),
    }


@settings(max_examples=6)  # PyTorch is slow to build networks
@given(configs(), st.sampled_from([1, 2]))
def test_output_is_that_of_pytorch(config: dict[str, Any], batch: int) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import ddpm_unet

    torch.manual_seed(0)
    twin = ddpm_unet.DDPMUNet(ddpm_unet.DDPMConfig(**config)).eval()
    weights = {name: value.numpy() for name, value in twin.state_dict().items()}
    model = load_torch_weights(DDPMUNet(DDPMConfig(**config)), weights)
    x = np.random.default_rng(0).standard_normal(model.inputs(batch)["x"]).astype(np.float32)
    t = np.linspace(3, 700, batch, dtype=np.float32)
    with torch.inference_mode():
        expected = twin(torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(t)).permute(0, 2, 3, 1).numpy()
    found = np.asarray(model(mx.array(x), mx.array(t)))
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


@given(configs())
def test_any_configuration_can_be_traced(config: dict[str, Any]) -> None:
    model = DDPMUNet(DDPMConfig(**config))
    graph = trace(model, model.inputs())
    assert graph.nodes[graph.output].shape == (1, config["image_size"], config["image_size"], config["out_ch"])
    used = {path for node in graph.nodes for path in node.params.values()}
    assert used == {name for name, _ in tree_flatten(model.parameters())}


def test_families_are_built_from_json() -> None:
    assert "ddpm" in FAMILIES
    model = build("ddpm", {"ch": 32, "ch_mult": [1, 2], "image_size": 16, "attn_resolutions": [8], "num_res_blocks": 1})
    assert isinstance(model, DDPMUNet) and model.config.ch_mult == (1, 2)


@pytest.mark.parametrize(
    ("family", "config", "sentence"),
    [
        ("dpm", {}, r"^the model family 'dpm' is not known: it must be one of ddpm, "),
        ("ddpm", {"channels": 3}, "^'channels' is no setting of such a network: it must be one of image_size, ch, "),
        ("ddpm", {"ch": "wide"}, "^ch is 'wide': it should be a whole number$"),
        ("ddpm", ["ch"], r"^its settings are \['ch'\], no object of fields$"),
        ("ddpm", {"ch": 48}, r"^DDPM: ch is 48; its group normalisation takes a multiple of 32$"),
        ("ddpm", {"ch": 0}, r"^DDPM: ch is 0"),
        ("ddpm", {"ch_mult": []}, r"^DDPM: ch_mult is empty"),
        ("ddpm", {"num_res_blocks": 0}, r"^DDPM: num_res_blocks is 0"),
        ("ddpm", {"image_size": 100}, r"^DDPM: image_size is 100; its 6 levels take a multiple of 32$"),
        ("ddpm", {"resamp_with_conv": False}, r"^DDPM: resamp_with_conv is false"),
    ],
)
def test_wrong_configurations_are_refused(family: str, config: Any, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        build(family, config)
