"""Our PyTorch U-Net against outputs of the original one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmarks.torch_models.ddpm_unet import DDPMConfig, DDPMUNet
from tests.reference import load_case, load_config, load_manifest, load_weights, require_reference


@pytest.fixture(scope="module")
def small_net() -> DDPMUNet:
    require_reference()
    net = DDPMUNet(DDPMConfig.from_dict(load_config("ddpm-small")))
    net.load_state_dict({name: torch.from_numpy(value) for name, value in load_weights("ddpm-small").items()})
    return net.eval()


@pytest.mark.parametrize("name", ["ddpm-small", "ddpm-church-256"])
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    published = load_manifest(name)
    with torch.device("meta"):
        net = DDPMUNet(DDPMConfig.from_dict(load_config(name)))
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == published


@pytest.mark.parametrize("edit", ["blob1.2", "blob15", "corner", "stroke"])
@pytest.mark.parametrize("which", ["original", "edited"])
def test_output_is_the_original_networks(small_net: DDPMUNet, edit: str, which: str) -> None:
    case = load_case(f"ddpm-small-{edit}")
    x = torch.from_numpy(case[f"x_{which}"]).permute(0, 3, 1, 2)
    expected = torch.from_numpy(case[f"dense_{which}"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        error = small_net(x, torch.tensor([float(case["timestep"])])) - expected
    assert error.norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("with_conv", [True, False])
def test_other_picture_sizes_run(with_conv: bool) -> None:
    config = DDPMConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, image_size=32, resamp_with_conv=with_conv)
    net = DDPMUNet(config)
    assert len(net.down[1].attn) == 1 and len(net.up[0].attn) == 0
    assert net(torch.zeros(2, 3, 16, 24), torch.tensor([0.0, 999.0])).shape == (2, 3, 16, 24)
