"""Our PyTorch U-Net of Progressive Distillation against outputs of the original one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmarks.torch_models.pd_unet import PDConfig, PDUNet
from tests.reference import load_case, load_config, load_manifest, load_weights, require_reference


@pytest.fixture(scope="module")
def small_net() -> PDUNet:
    require_reference()
    net = PDUNet(PDConfig.from_dict(load_config("pd-small")))
    net.load_state_dict({name: torch.from_numpy(value) for name, value in load_weights("pd-small").items()})
    return net.eval()


@pytest.mark.parametrize("name", ["pd-small", "pd-church-128", "pd-church-256"])
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    published = load_manifest(name)
    with torch.device("meta"):
        net = PDUNet(PDConfig.from_dict(load_config(name)))
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == published


@pytest.mark.parametrize("edit", ["blob1.2", "blob15", "corner", "stroke"])
@pytest.mark.parametrize("which", ["original", "edited"])
def test_output_is_the_original_networks(small_net: PDUNet, edit: str, which: str) -> None:
    case = load_case(f"pd-small-{edit}")
    x = torch.from_numpy(case[f"x_{which}"]).permute(0, 3, 1, 2)
    expected = torch.from_numpy(case[f"dense_{which}"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        error = small_net(x, torch.tensor([float(case["timestep"])])) - expected
    assert error.norm() < 1e-5 * expected.norm()
