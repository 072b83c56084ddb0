"""Recognising GauGAN's and GAN Compression's networks by their tensors, in every layout they were published in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sige_mlx.converters import convert
from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families.family import Shape
from sige_mlx.converters.families.spade import layouts
from sige_mlx.errors import SigeError
from sige_mlx.families import KNOWN
from sige_mlx.models.spade import SPADEConfig
from tests.converters.families.recognition import (
    built,
    check_faults_are_named,
    check_hostile_shapes,
    check_order_does_not_matter,
    complaint,
    hostile_shapes,
    matched,
    shapes,
)
from tests.converters.networks import (
    SMALL_SPADE,
    SMALL_SUB_MOBILE,
    ddpm,
    fused_label_to_image,
    spade,
    spectral_spade,
    sub_mobile_spade,
)
from tests.converters.writer import save
from tests.reference import load_config, load_manifest, load_weights, require_reference

SPADE, SUB_MOBILE = spade(), sub_mobile_spade()
LAYOUTS = {
    "spade": SPADE,
    "fused_spade": fused_label_to_image(SPADE),
    "latest_net_G": spectral_spade(SPADE),
    "sub_mobile_spade": SUB_MOBILE,
    "fused_sub_mobile_spade": fused_label_to_image(SUB_MOBILE),
}
CONFIGS = {name: SMALL_SUB_MOBILE if "mobile" in name else SMALL_SPADE for name in LAYOUTS}
MANIFESTS = ["gaugan-cityscapes", "gaugan-small", "gan-compression-cityscapes", "gan-compression-small"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_configuration_follows_from_the_tensors(name: str) -> None:
    match = matched(shapes(LAYOUTS[name]))
    assert match.family == ("sub_mobile_spade" if "mobile" in name else "spade")
    assert match.config == CONFIGS[name]
    (remark,) = match.remarks
    assert "width 512, width by height 2, up-sampling 'more' and instance edges in the last assumed" in remark


def test_a_thin_network_is_told_by_its_widths() -> None:
    thin = KNOWN["gaugan-cityscapes-0.19"][1].of("spade")
    for layout in layouts(thin):
        assert matched(layout.tensors).config == thin


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_manifests(name: str) -> None:
    published, manifest = load_config(name), load_manifest(name)
    match = matched(manifest)
    assert match.layout.tensors == manifest  # each is taken, or listed as unused
    assert set(match.layout.unused) == {key for key in manifest if key.endswith("num_batches_tracked")}
    for key in ("input_nc", "no_instance", "semantic_nc", "output_nc", "aspect_ratio"):
        assert getattr(match.config, key) == published[key]
    if published["config_str"]:
        assert match.config.config_str == published["config_str"]
    else:
        assert match.config.ngf == published["ngf"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_one_tensor_missing_renamed_or_mis_shaped_is_named(name: str) -> None:
    tensors, family = shapes(LAYOUTS[name]), "sub_mobile_spade" if "mobile" in name else "spade"
    tried = ["fc.weight", "conv_img.bias", *random.Random(0).sample(list(tensors), 15)]
    for tensor in tried:
        check_faults_are_named(tensors, tensor, (*tensors[tensor], 1), family)


@pytest.mark.parametrize("name", LAYOUTS)
def test_order_of_the_tensors_does_not_matter(name: str) -> None:
    check_order_does_not_matter(shapes(LAYOUTS[name]))


@pytest.mark.parametrize("name", ["fused_spade", "fused_sub_mobile_spade"])
def test_fused_layouts_give_the_same_parameters(name: str) -> None:
    expected = built(LAYOUTS[name.removeprefix("fused_")])
    found = built(LAYOUTS[name])
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)


def test_scale_and_shift_are_one_convolution() -> None:
    found = built(SPADE)["up_1.norm_s.mlp_gamma_beta.weight"]
    gamma, beta = (SPADE[f"up_1.norm_s.mlp_{part}.weight"].transpose(0, 2, 3, 1) for part in ("gamma", "beta"))
    np.testing.assert_array_equal(found[: len(gamma)], gamma)
    np.testing.assert_array_equal(found[len(gamma) :], beta)


def test_spectral_norm_is_folded() -> None:
    state, plain = LAYOUTS["latest_net_G"], built(SPADE)
    for key, values in built(state).items():
        if ".conv_" in key and key.endswith(".weight"):
            u, v = (state[f"{key}_{vector}"].astype(np.float64) for vector in "uv")
            values = values * (u @ SPADE[key].reshape(len(u), -1) @ v)
            np.testing.assert_allclose(values, plain[key], rtol=1e-6, atol=1e-12)
        else:
            np.testing.assert_array_equal(values, plain[key])


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_files_of_every_layout_are_converted(name: str, form: str, tmp_path: Path) -> None:
    made = convert(save(tmp_path / f"{name}.pth", LAYOUTS[name], form), tmp_path / "m")
    found, expected = load_file(tmp_path / "m" / "model.safetensors"), built(LAYOUTS[name])
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
    assert made.config == CONFIGS[name]
    assert any("no tensor tells" in note for note in made.notes)


def test_a_spectral_norm_of_zero_is_told(tmp_path: Path) -> None:
    name = "up_0.conv_s.weight"
    arrays = {**LAYOUTS["latest_net_G"], f"{name}_u": np.zeros(16, np.float32)}
    with pytest.raises(CheckpointError, match=rf"its tensor {name}_orig with {name}_u with {name}_v has values that"):
        convert(save(tmp_path / "net.pth", arrays), tmp_path / "m")


def test_settings_that_no_tensor_tells(tmp_path: Path) -> None:
    source = save(tmp_path / "net.pth", SPADE)
    settings = {"input_nc": 36, "no_instance": True, "num_upsampling_layers": "normal", "aspect_ratio": 1.0}
    config = convert(source, tmp_path / "m", image_size=256, settings=settings).config
    assert (config.semantic_nc, config.crop_size, config.num_upsampling_layers) == (36, 256, "normal")
    for settings in ({"input_nc": 36}, {"no_instance": True}):
        with pytest.raises(SigeError, match=r"another network than .* asks for; the 36 .* are input_nc=36 with no_in"):
            convert(source, tmp_path / "n", settings=settings)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"input_nc": 183}, {"input_nc": 183, "no_instance": False}),  # COCO-Stuff
        ({"input_nc": 151, "no_instance": True}, {"input_nc": 151, "no_instance": True}),  # ADE20K
        ({"input_nc": 5}, {"input_nc": 6, "no_instance": True}),
    ],
)
def test_labels_of_other_datasets(config: dict[str, Any], expected: dict[str, Any]) -> None:
    square = {"crop_size": 256, "aspect_ratio": 1.0, "num_upsampling_layers": "normal"}
    tensors = shapes(spade(SPADEConfig(**config, **square, ngf=2, nhidden=4)))
    assert matched(tensors).config == SPADEConfig(**expected, **square, ngf=2, nhidden=4)


def test_five_blocks_after_the_middle() -> None:
    config = SPADEConfig(num_upsampling_layers="most", ngf=3, nhidden=4)
    assert matched(shapes(spade(config))).config == config


def test_image_size_is_the_width() -> None:
    assert matched(shapes(SPADE), 256).config.crop_size == 256
    for tensors in (SPADE, SUB_MOBILE):
        with pytest.raises(SigeError, match="crop_size is 100; its up-samplings take a multiple of 64"):
            matched(shapes(tensors), 100)


def test_families_are_told_apart() -> None:
    for arrays, family in ((ddpm(), "ddpm"), (SPADE, "spade"), (SUB_MOBILE, "sub_mobile_spade")):
        tensors = shapes(arrays)
        del tensors[next(iter(tensors))]
        assert f"; {family} comes nearest" in complaint(tensors)


names = st.sampled_from(sorted(shapes(SPADE).keys() | shapes(SUB_MOBILE).keys()))
replacements = st.dictionaries(names, hostile_shapes, min_size=1, max_size=6)


@given(replacements, st.sampled_from(["", *LAYOUTS]))
def test_hostile_shapes(changed: dict[str, Shape], base: str) -> None:
    original = shapes(LAYOUTS[base]) if base else {}
    check_hostile_shapes(original, {**original, **changed})


@pytest.mark.parametrize("name", ["gaugan-small", "gan-compression-small"])
def test_reference_networks(name: str, tmp_path: Path) -> None:
    require_reference()
    weights = load_weights(name)
    settings = {"crop_size": load_config(name)["crop_size"]}
    found = convert(save(tmp_path / "net.pth", weights), tmp_path / "m", settings=settings)
    assert found.config.crop_size == 256
    np.testing.assert_array_equal(
        load_file(tmp_path / "m" / "model.safetensors")["conv_img.weight"],
        weights["conv_img.weight"].transpose(0, 2, 3, 1),
    )
