"""Recognising the U-Nets of Dhariwal & Nichol by their tensors, and where their parameters are in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.converters.families.adm import layouts
from sige_mlx.converters.families.family import Shape
from sige_mlx.errors import SigeError
from sige_mlx.models.adm import ADMConfig
from tests.converters.families.recognition import (
    check_faults_are_named,
    check_hostile_shapes,
    check_order_does_not_matter,
    hostile_shapes,
    matched,
)
from tests.converters.networks import Arrays
from tests.converters.writer import state_dict, write_zip

CONFIGS = {
    "published": ADMConfig(),
    "small": ADMConfig(image_size=64, ch=64, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(32,)),
    "heads of 32": ADMConfig(image_size=64, ch=32, ch_mult=(1, 1, 3), attn_resolutions=(32, 16), head_dim=32),
    "one level": ADMConfig(image_size=32, ch=64, ch_mult=(1,), attn_resolutions=(32,)),
    "grey": ADMConfig(image_size=64, ch=64, ch_mult=(1, 2, 2), attn_resolutions=(32,), in_ch=1, out_ch=1),
}
SMALL = layouts(CONFIGS["small"])[0].tensors


def adm(seed: int = 0) -> Arrays:
    """A state dict of the small network, with random values."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in SMALL.items()}


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_follows_from_the_tensors(name: str, layout: int) -> None:
    config = CONFIGS[name]
    match = matched(layouts(config)[layout].tensors)
    assert (match.family, match.config, match.layout) == ("adm", config, layouts(config)[layout])
    size, heads = match.remarks
    assert f"{config.image_size} x {config.image_size} assumed" in size
    assert f"width of an attention head: {config.head_dim} assumed" in heads


def test_names_are_the_published_ones() -> None:
    """Some of those that the authors' code gives, blocks of every kind among them."""
    tensors = layouts(ADMConfig())[0].tensors
    assert (
        tensors.items()
        >= {
            "time_embed.0.weight": (1024, 256),
            "input_blocks.0.0.weight": (256, 3, 3, 3),
            "input_blocks.3.0.in_layers.2.weight": (256, 256, 3, 3),  # halves the plane
            "input_blocks.7.0.skip_connection.weight": (512, 256, 1, 1),
            "input_blocks.10.1.qkv.weight": (1536, 512, 1),
            "middle_block.1.proj_out.weight": (1024, 1024, 1),
            "output_blocks.2.2.out_layers.3.bias": (1024,),  # doubles it, behind attention
            "output_blocks.11.1.emb_layers.1.weight": (1024, 1024),  # without
            "output_blocks.17.0.skip_connection.weight": (256, 512, 1, 1),
            "out.2.weight": (6, 256, 3, 3),
        }.items()
    )
    assert len(tensors) == 566


def test_any_one_tensor_missing_renamed_or_mis_shaped_is_named() -> None:
    for name, shape in SMALL.items():
        check_faults_are_named(SMALL, name, (*shape[:-1], shape[-1] + 1), "adm")


def test_order_of_the_tensors_does_not_matter() -> None:
    check_order_does_not_matter(SMALL)


def test_heads_are_taken_apart() -> None:
    """128 channels in two heads; in one it is another network of the same tensors."""
    arrays = adm()
    qkv = arrays["middle_block.1.qkv.weight"]
    for settings, rows in (({}, [*range(64, 128), *range(256, 320)]), ({"head_dim": 128}, [*range(128, 256)])):
        layout = layouts(ADMConfig(**{**vars(CONFIGS["small"]), **settings}))[0]
        found = layout.sources["mid.attn_1.k.weight"].build(arrays.__getitem__)
        np.testing.assert_array_equal(found, qkv[rows][:, None, None, :, 0])


def test_settings_say_how_heads_are_taken_apart(tmp_path: Path) -> None:
    """No tensor tells it, and every parameter would have the right shape either way."""
    root, storages = state_dict(adm())
    file = write_zip(tmp_path / "net.pt", root, storages)
    for head_dim in (64, 128):
        made = convert(file, tmp_path / str(head_dim), settings={"head_dim": head_dim})
        assert made.config.head_dim == head_dim
    two, one = (zoo.load(tmp_path / name) for name in ("64", "128"))
    parts = {"qkv"[i]: slice(128 * i, 128 * (i + 1)) for i in range(3)}
    for part, rows in parts.items():
        name, qkv = f"mid.attn_1.{part}.bias", adm()["middle_block.1.qkv.bias"]
        np.testing.assert_array_equal(one.load(name), qkv[rows])
        np.testing.assert_array_equal(np.sort(two.load(name)[:64]), np.sort(qkv["qkv".index(part) * 64 :][:64]))


def test_sines_come_first() -> None:
    arrays = adm()
    found = matched(SMALL).layout.sources["temb.dense.0.weight"].build(arrays.__getitem__)
    theirs = arrays["time_embed.0.weight"]
    np.testing.assert_array_equal(found, np.concatenate([theirs[:, 32:], theirs[:, :32]], axis=1))


def test_image_size() -> None:
    assert matched(SMALL, 128).config.attn_resolutions == (64,)
    with pytest.raises(SigeError, match="no multiple of 2"):
        matched(SMALL, 33)


def test_published_files_go_by_their_names() -> None:
    for file, name in (
        ("lsun_bedroom.pt", "adm-bedroom-256"),
        ("lsun_horse_nodropout.pt", "adm-horse-256"),
        ("256x256_diffusion_uncond.pt", "adm-imagenet-256"),
    ):
        assert zoo.name_for("adm", ADMConfig(), Path(file)) == name


replacements = st.dictionaries(st.sampled_from(sorted(SMALL)), hostile_shapes, min_size=1, max_size=6)


@given(replacements, st.booleans())
def test_hostile_shapes(changed: dict[str, Shape], alone: bool) -> None:
    check_hostile_shapes(SMALL, changed if alone else {**SMALL, **changed})
