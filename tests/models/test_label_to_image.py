"""GauGAN's and GAN Compression's generators: the published parameters, PyTorch's numbers, and what they refuse."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx import families
from sige_mlx.converters.families import spade, sub_mobile_spade
from sige_mlx.converters.families.family import parameter_shapes
from sige_mlx.errors import SigeError
from sige_mlx.families import build
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.trace import trace
from sige_mlx.models.spade import UPSAMPLINGS, SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig, SubMobileSPADEGenerator
from sige_mlx.nn.module import parameters
from tests.labels import one_hot
from tests.models.networks import frozen_network
from tests.reference import case_names, load_case, load_manifest

SMALL = ["gaugan-small", "gan-compression-small"]
PUBLISHED = {
    "gaugan-cityscapes": SPADEGenerator(SPADEConfig()),
    "gan-compression-cityscapes": SubMobileSPADEGenerator(SubMobileSPADEConfig()),
}
SMALLEST = {"normal": 32, "more": 64, "most": 128}

common = st.fixed_dictionaries(
    {
        "input_nc": st.integers(1, 4),
        "no_instance": st.booleans(),
        "output_nc": st.integers(1, 4),
        "aspect_ratio": st.sampled_from([0.5, 1.0, 2.0]),
    }
)


@st.composite
def spades(draw: st.DrawFn) -> SPADEConfig:
    ups = draw(st.sampled_from(list(UPSAMPLINGS)))
    size = {"num_upsampling_layers": ups, "crop_size": 2 * SMALLEST[ups]}
    return SPADEConfig(**draw(common), **size, ngf=draw(st.integers(2, 4)), nhidden=draw(st.integers(1, 5)))


@st.composite
def sub_mobiles(draw: st.DrawFn) -> SubMobileSPADEConfig:
    ups = draw(st.sampled_from(["normal", "more"]))
    widths = draw(st.lists(st.integers(1, 4), min_size=8, max_size=8))
    return SubMobileSPADEConfig(
        **draw(common),
        num_upsampling_layers=ups,
        crop_size=2 * SMALLEST[ups],
        config_str="_".join(map(str, widths)),
    )


def network(config: SPADEConfig | SubMobileSPADEConfig) -> mlx.nn.Module:
    return SPADEGenerator(config) if isinstance(config, SPADEConfig) else SubMobileSPADEGenerator(config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_are_the_published_ones_but_for_joined_scales_and_shifts(name: str) -> None:
    published = load_manifest(name)
    ours = parameter_shapes(PUBLISHED[name])
    apart = {key for key in published if name.startswith("gaugan") and (".mlp_gamma." in key or ".mlp_beta." in key)}
    counts = {key for key in published if key.endswith("num_batches_tracked")}
    same = {key: shape for key, shape in published.items() if key not in apart | counts}
    assert {key: shape for key, shape in ours.items() if ".mlp_gamma_beta." not in key} == same
    for key in apart:
        joint = ours[key.replace(".mlp_gamma.", ".mlp_gamma_beta.").replace(".mlp_beta.", ".mlp_gamma_beta.")]
        assert joint == (2 * published[key][0], *published[key][1:])


@pytest.mark.parametrize(("name", "gmacs"), [("gaugan-cityscapes", 281.4), ("gan-compression-cityscapes", 31.2)])
def test_dense_macs_are_the_papers(name: str, gmacs: float) -> None:
    graph = trace(PUBLISHED[name], PUBLISHED[name].inputs())
    assert sum(map(graph.macs, graph.nodes)) == pytest.approx(gmacs * 1e9, rel=0.005)
    for case in case_names(name):
        assert sum(map(graph.macs, graph.nodes)) == pytest.approx(int(load_case(case)["dense_macs"]), rel=0.005)


def test_a_thin_network_has_a_share_of_the_channels_of_every_layer() -> None:
    """And so a share of about its square of the work."""
    thin = families.KNOWN["gaugan-cityscapes-0.19"][1].of("spade")
    assert (thin.ngf, thin.nhidden) == (round(0.19 * 64), round(0.19 * 128))
    graph = trace(SPADEGenerator(thin), PUBLISHED["gaugan-cityscapes"].inputs())
    assert sum(map(graph.macs, graph.nodes)) == pytest.approx(13.23e9, rel=0.005)


@pytest.mark.parametrize(("name", "tiles_from"), [("gaugan-cityscapes", 32), ("gan-compression-cityscapes", 64)])
def test_by_the_paper_tiles_begin_with_the_first_sparse_block(name: str, tiles_from: int) -> None:
    family, config = families.of(PUBLISHED[name].config), PUBLISHED[name].config
    policy = family.released(config)
    assert (policy.tiles_from, policy.dilation_per_level) == (tiles_from, 2)
    assert Lowered.of(PUBLISHED[name], policy).image_size == (256, 512)


@pytest.mark.parametrize("name", [case for network in SMALL for case in case_names(network)])
@pytest.mark.parametrize("which", ["", "_edited"])
def test_output_is_that_of_the_original_network(name: str, which: str) -> None:
    case = load_case(name)
    model = frozen_network(next(network for network in SMALL if name.startswith(network))).model
    found = np.asarray(model(one_hot(case[f"labels{which}"], case[f"instances{which}"])))
    expected = case[f"dense{which or '_original'}"]
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


@settings(max_examples=8)  # PyTorch is slow to build networks
@given(spades() | sub_mobiles(), st.sampled_from([1, 2]))
def test_output_is_that_of_pytorch(config: SPADEConfig | SubMobileSPADEConfig, batch: int) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import label_to_image as twins

    torch.manual_seed(0)
    if isinstance(config, SPADEConfig):
        twin, layouts = twins.SPADEGenerator(config, config.ngf, config.nhidden), spade.layouts
    else:
        twin, layouts = twins.SubMobileSPADEGenerator(config, config.config_str), sub_mobile_spade.layouts
    for name, buffer in twin.named_buffers():
        if "running" in name:
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    state = {name: value.numpy() for name, value in twin.eval().state_dict().items()}
    model = network(config)
    sources = layouts(config)[0].sources
    model.load_weights([(name, mx.array(source.build(state.__getitem__))) for name, source in sources.items()])
    x = np.random.default_rng(0).random(model.inputs(batch)["x"], np.float32)
    with torch.inference_mode():
        expected = twin(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    found = np.asarray(model(mx.array(x)))
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


@given(spades() | sub_mobiles())
def test_any_configuration_can_be_traced(config: SPADEConfig | SubMobileSPADEConfig) -> None:
    model = network(config)
    graph = trace(model, model.inputs())
    h, w = model.inputs()["x"][1:3]
    assert w == config.crop_size and h == w / config.aspect_ratio
    assert graph.nodes[graph.output].shape == (1, h, w, config.output_nc)
    assert {path for node in graph.nodes for path in node.params.values()} == set(parameters(model))


@given(spades(), st.integers(0, 7))
def test_the_side_of_blocks_is_the_longer_one_of_the_first(config: SPADEConfig, asked: int) -> None:
    graph = trace(SPADEGenerator(config), SPADEGenerator(config).inputs())
    sides = {n.name.split(".")[0]: max(n.shape[1:3]) for n in graph.nodes if n.name.endswith("conv_0")}
    blocks = list(config.blocks)
    assert list(sides) == blocks
    asked = min(asked, len(blocks))
    sparse = [name for name in blocks if sides[name] >= config.side_of_last(asked)]
    shared = config.num_upsampling_layers == "normal" and asked == len(blocks) - 2  # both middle blocks, or none
    assert len(sparse) == asked + shared


def test_families_are_built_from_json() -> None:
    small = {"crop_size": 64, "aspect_ratio": 1.0}
    assert isinstance(build("spade", {**small, "ngf": 4, "nhidden": 8}), SPADEGenerator)
    model = build("sub_mobile_spade", {**small, "config_str": "1_2_3_4_5_6_7_8"})
    assert isinstance(model, SubMobileSPADEGenerator) and model.config.channels == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("family", "config", "sentence"),
    [
        ("spade", {"num_upsampling_layers": "few"}, r"num_upsampling_layers is 'few'; it is normal, more, most$"),
        ("spade", {"input_nc": 0}, r"^SPADE: 0 labels and 3 output channels; both must be 1 or more$"),
        ("spade", {"output_nc": 0}, r"^SPADE: 35 labels and 0 output channels"),
        ("spade", {"crop_size": 500}, r"^SPADE: crop_size is 500; its up-samplings take a multiple of 64$"),
        ("spade", {"crop_size": 0}, r"^SPADE: crop_size is 0"),
        ("spade", {"aspect_ratio": 0.0}, r"^SPADE: aspect_ratio is 0.0"),
        ("spade", {"aspect_ratio": float("nan")}, r"^SPADE: aspect_ratio is nan"),
        ("spade", {"aspect_ratio": 100.0}, r"^SPADE: aspect_ratio is 100.0; width by height, it leaves no row"),
        ("spade", {"ngf": 1}, r"^SPADE: ngf is 1 and nhidden 128; they are at least 2 and 1$"),
        ("spade", {"nhidden": 0}, r"^SPADE: ngf is 64 and nhidden 0"),
        ("spade", {"num_upsampling_layers": ["more"]}, r"^num_upsampling_layers is \['more'\]: it should be a word$"),
        ("sub_mobile_spade", {"config_str": "1_2_3"}, r"config_str is '1_2_3'; it takes 8 numbers"),
        ("sub_mobile_spade", {"config_str": "0_2_3_4_5_6_7_8"}, r"config_str is '0_2"),
        ("sub_mobile_spade", {"config_str": "-1_2_3_4_5_6_7_8"}, r"config_str is '-1_2"),
        ("sub_mobile_spade", {"num_upsampling_layers": "most", "crop_size": 512}, r"only seven blocks were published$"),
    ],
)
def test_wrong_configurations_are_refused(family: str, config: Any, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        build(family, config)
