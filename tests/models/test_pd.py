"""The Progressive Distillation U-Net: the published parameters, PyTorch's numbers block by block, its cost."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx import nn, zoo
from sige_mlx.errors import SigeError
from sige_mlx.families import build
from sige_mlx.graph.cost import dense_cost
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.graph.trace import trace
from sige_mlx.models import pd as ours
from sige_mlx.models.pd import PDConfig, PDUNet
from sige_mlx.models.unet import AttnBlock
from sige_mlx.nn.module import parameters
from tests.models.networks import frozen_network, load_torch_weights
from tests.reference import case_names, load_case, load_manifest

CHURCH_256 = PDConfig(image_size=256, ch_mult=(1, 1, 2, 4, 6, 8))
BOUND = 1e-5  # relative, of sums in another order


def published(model: PDUNet) -> dict[str, tuple[int, ...]]:
    """The network's parameters as the checkpoint has them: joined `qkv`, OIHW."""
    found: dict[str, tuple[int, ...]] = {}
    for name, array in parameters(model).items():
        o, *rest = array.shape
        shape = (o, rest[2], *rest[:2]) if len(rest) == 3 else (o, *rest)
        if any(f".{part}." in name for part in "qkv"):
            assert found.get(name.replace(".v.", ".qkv."), shape[1:]) is not None
            block, _, leaf = name.rpartition(".")
            name, shape = f"{block.rpartition('.')[0]}.qkv.{leaf}", (3 * o, *shape[1:])
        found[name] = shape
    return found


@pytest.mark.parametrize(("name", "config"), [("pd-church-128", PDConfig()), ("pd-church-256", CHURCH_256)])
def test_names_and_shapes_are_the_published_ones(name: str, config: PDConfig) -> None:
    assert published(PDUNet(config)) == load_manifest(name)
    assert zoo.network(name).model.config == config


@pytest.mark.parametrize("name", case_names("pd-small"))
@pytest.mark.parametrize("which", ["original", "edited"])
def test_output_is_that_of_the_original_network(name: str, which: str) -> None:
    case = load_case(name)
    found = frozen_network("pd-small").model(mx.array(case[f"x_{which}"]), mx.array(case["timestep"].reshape(1)))
    assert_close(found, case[f"dense_{which}"])


@pytest.mark.parametrize(("name", "giga"), [("pd-church-128", 66.8), ("pd-church-256", 118.7)])
def test_cost_is_that_of_the_paper(name: str, giga: float) -> None:
    assert dense_cost(Lowered.of(zoo.network(name).model, EditPolicy())).macs == pytest.approx(giga * 1e9, rel=0.005)


# ---- PyTorch's numbers


def assert_close(found: mx.array, expected: np.ndarray) -> None:
    error = np.linalg.norm(np.asarray(found) - expected)
    assert found.shape == expected.shape and error <= BOUND * np.linalg.norm(expected)


def against_torch(model: mlx.nn.Module, twin: Any, *inputs: np.ndarray) -> None:
    """Both on the same NHWC images and vectors, with the twin's weights."""
    torch = pytest.importorskip("torch")
    load_torch_weights(model, {name: value.numpy() for name, value in twin.state_dict().items()})
    nchw = [torch.from_numpy(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x) for x in inputs]
    with torch.inference_mode():
        expected = twin(*nchw)
    expected = expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected[:, None, None, :]
    ours = [mx.array(x) if x.ndim != 2 else mx.array(x[:, None, None, :]) for x in inputs]
    assert_close(model(*ours), expected.numpy())


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("in_ch", "out_ch"), [(64, 64), (32, 96)])
@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_residual_blocks(in_ch: int, out_ch: int, scale: float) -> None:
    pytest.importorskip("torch")
    from benchmarks.torch_models import pd_unet

    resample = {1: None, 2: nn.upsample_nearest, 0.5: nn.avg_pool2d}[scale]
    model, twin = ours.ResnetBlock(in_ch, out_ch, 24, resample), pd_unet.ResBlock(in_ch, out_ch, 24, scale)
    against_torch(model, twin, draw(2, 6, 10, in_ch), draw(2, 24))


@pytest.mark.parametrize("head_dim", [32, 48, 96])
def test_attention(head_dim: int) -> None:
    pytest.importorskip("torch")
    from benchmarks.torch_models import pd_unet

    against_torch(AttnBlock(96, head_dim), pd_unet.AttentionBlock(96, head_dim), draw(2, 5, 4, 96))


def test_time_embedding() -> None:
    pytest.importorskip("torch")
    from benchmarks.torch_models import pd_unet

    log_snr = np.array([-30, -20, -3.5, 0, 2, 19, 50], np.float32)
    against_torch(ours.TimeEmbedding(32, 48), pd_unet.LogSNRMLP(32, 48), log_snr)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    levels = draw(st.integers(1, 3))
    size = 4 * 2 ** (levels - 1) * draw(st.integers(1, 2))
    in_ch = draw(st.integers(1, 4))
    return {
        "image_size": size,
        "ch": 32,
        "ch_mult": tuple(draw(st.sampled_from([1, 2, 3])) for _ in range(levels)),
        "num_res_blocks": draw(st.integers(1, 2)),
        "attn_resolutions": tuple(r for r in (4, 8, 16) if draw(st.booleans())),
        "in_ch": in_ch,
        "out_ch": 2 * in_ch,
        "head_dim": draw(st.sampled_from([8, 16, 32])),
        "temb_ch": draw(st.sampled_from([8, 40])),
    }


@settings(max_examples=6)  # PyTorch is slow to build networks
@given(configs(), st.sampled_from([1, 2]))
def test_output_is_that_of_pytorch(config: dict[str, Any], batch: int) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import pd_unet

    torch.manual_seed(0)
    model, twin = PDUNet(PDConfig(**config)), pd_unet.PDUNet(pd_unet.PDConfig(**config)).eval()
    against_torch(model, twin, draw(*model.inputs(batch)["x"]), np.linspace(-6, 9, batch, dtype=np.float32))


@given(configs())
def test_any_configuration_can_be_traced(config: dict[str, Any]) -> None:
    model = PDUNet(PDConfig(**config))
    graph = trace(model, model.inputs())
    assert graph.nodes[graph.output].shape == (1, config["image_size"], config["image_size"], config["out_ch"])
    assert {path for node in graph.nodes for path in node.params.values()} == set(parameters(model))


# ---- configurations


def test_edits_use_tiles_everywhere_unless_told_otherwise() -> None:
    church = zoo.network("pd-church-128")
    assert (church.policy().tiles_from, church.policy(64).tiles_from) == (8, 64)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"ch": 48}, r"^PD: ch is 48; its group normalisation takes a multiple of 32$"),
        ({"image_size": 100}, r"^PD: image_size is 100; its 5 levels take a multiple of 16$"),
        ({"out_ch": 3}, r"^PD: out_ch is 3; an image and noise of 3 channels take 6$"),
        ({"head_dim": 0}, r"^PD: head_dim is 0; attention over 256 channels takes a divisor$"),
        ({"ch_mult": [1, 2, 4, 6, 9], "head_dim": 128}, r"^PD: head_dim is 128; attention over 576 channels"),
        ({"ch_mult": [1, 3], "attn_resolutions": [], "head_dim": 128}, r"^PD: head_dim is 128; attention over 192"),
        ({"head_dim": "wide"}, "^head_dim is 'wide': it should be a whole number$"),
    ],
)
def test_wrong_configurations_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        build("pd", config)
