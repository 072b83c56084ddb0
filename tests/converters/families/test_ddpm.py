"""Recognising DDPM networks by their tensors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families import ddpm as ddpm_family
from sige_mlx.converters.families import recognise
from sige_mlx.converters.families.family import Shape, parameter_shapes
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.converters.families import recognition
from tests.converters.families.recognition import (
    check_faults_are_named,
    check_hostile_shapes,
    check_order_does_not_matter,
    complaint,
    hostile_shapes,
    matched,
)
from tests.converters.networks import SMALL, ddpm, fused_ddpm
from tests.reference import load_config, load_manifest, require_reference

CONFIGS = {
    "church 256": DDPMConfig(),
    "small": SMALL,
    "cifar": DDPMConfig(image_size=32, ch_mult=(1, 2, 2, 2)),
    "two attentions": DDPMConfig(image_size=64, ch=32, ch_mult=(1, 2, 2), attn_resolutions=(16, 32), num_res_blocks=3),
    "label channels": DDPMConfig(image_size=64, ch=32, ch_mult=(1, 1, 4), in_ch=7, out_ch=6),
}


def shapes(config: DDPMConfig) -> dict[str, Shape]:
    return parameter_shapes(DDPMUNet(config))


def fused_shapes(config: DDPMConfig = SMALL) -> dict[str, Shape]:
    return recognition.shapes(fused_ddpm(ddpm(config)))


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_follows_from_the_tensors(name: str) -> None:
    config = CONFIGS[name]
    image_size = config.image_size if name == "two attentions" else None
    match = matched(shapes(config), image_size)
    assert match.family == "ddpm"
    assert match.config == config
    assert bool(match.remarks) == (image_size is None)


def test_fused_layout_gives_the_same_network() -> None:
    match = matched(fused_shapes())
    assert match.config == SMALL
    assert match.layout.sources.keys() == shapes(SMALL).keys()
    assert list(match.layout.sources["mid.attn_1.v.bias"].tensors) == ["mid.attn_1.qkv.bias"]
    assert list(match.layout.sources["up.1.block.0.temb_proj.weight"].tensors) == ["temb.dense.2.weight"]


@pytest.mark.parametrize("name", ["ddpm-church-256", "ddpm-small"])
def test_published_manifests(name: str) -> None:
    require_reference()
    published = load_config(name)
    config = matched(load_manifest(name)).config
    assert config.image_size == published["image_size"]
    for key in ("ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_ch", "out_ch", "resamp_with_conv"):
        value = getattr(config, key)
        assert (list(value) if isinstance(value, tuple) else value) == published["model"][key]


@pytest.mark.parametrize("tensors", [shapes(SMALL), fused_shapes()], ids=["original", "fused"])
def test_any_one_tensor_missing_renamed_or_mis_shaped_is_named(tensors: dict[str, Shape]) -> None:
    for name, shape in tensors.items():
        check_faults_are_named(tensors, name, (*shape[:-1], shape[-1] + 1), "ddpm")


def test_order_of_the_tensors_does_not_matter() -> None:
    for tensors in (shapes(SMALL), fused_shapes()):
        check_order_does_not_matter(tensors)


def test_swapped_names_do_not_fit() -> None:
    tensors = shapes(SMALL)
    one, other = "down.1.block.0.conv1.weight", "down.1.block.0.conv2.weight"
    swapped = {**tensors, one: tensors[other], other: tensors[one]}
    assert "2 mis-shaped" in complaint(swapped)


@pytest.mark.parametrize("name", ["pd-small", "pd-church-256", "gaugan-small"])
def test_other_networks_do_not_fit(name: str) -> None:
    require_reference()
    with pytest.raises(CheckpointError, match=r"known network \(ddpm\)"):
        recognise(load_manifest(name), [ddpm_family.FAMILY])


def test_a_long_report_is_cut() -> None:
    tensors = {name: shape for name, shape in shapes(SMALL).items() if not name.startswith("up.")}
    text = complaint(tensors)
    assert "missing: up.0.block.0.norm1.weight, " in text
    assert text.endswith(", …")
    assert len(text) < 300


def test_image_size() -> None:
    assert matched(shapes(SMALL), 64).config.image_size == 64
    assert matched(shapes(SMALL), 64).config.attn_resolutions == (32,)
    for size in (0, -32, 33):
        with pytest.raises(SigeError, match="no multiple of 2"):
            matched(shapes(SMALL), size)
    plain = DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2, 2), attn_resolutions=())
    assert matched(shapes(plain)).config == plain


replacements = st.dictionaries(st.sampled_from(sorted(shapes(SMALL))), hostile_shapes, min_size=1, max_size=6)


@given(replacements, st.booleans())
def test_hostile_shapes(changed: dict[str, Shape], alone: bool) -> None:
    original = shapes(SMALL)
    check_hostile_shapes(original, changed if alone else {**original, **changed})


def test_promises_of_huge_networks_are_not_built() -> None:
    deep = {f"down.{i}.block.0.conv1.weight": (32, 32, 3, 3) for i in range(5000)}
    long = {f"down.0.block.{i}.conv1.weight": (32, 32, 3, 3) for i in range(5000)}
    many = {f"down.{i}.block.0.conv1.weight": (32, 32, 3, 3) for i in range(16)} | long
    wide = {
        name: tuple(n << 30 if n % 32 == 0 else n for n in shape)  # consistent, and wider than MLX can count
        for name, shape in shapes(SMALL).items()
    }
    for tensors in (deep, long, many, wide):
        assert "known network" in complaint({"conv_in.weight": (32, 3, 3, 3), **tensors})
