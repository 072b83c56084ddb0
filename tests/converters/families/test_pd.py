"""Recognising Progressive Distillation's networks by their tensors, and taking their joined attention apart."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.converters.families.family import Shape
from sige_mlx.errors import SigeError
from sige_mlx.models.pd import PDConfig
from tests.converters.families.recognition import (
    check_faults_are_named,
    check_hostile_shapes,
    check_order_does_not_matter,
    hostile_shapes,
    matched,
    shapes,
)
from tests.converters.networks import SMALL_PD, Arrays, pd
from tests.converters.writer import state_dict, write_zip
from tests.reference import load_case, load_config, load_manifest, load_weights, require_reference

CONFIGS = {
    "church 128": PDConfig(),
    "church 256": PDConfig(image_size=256, ch_mult=(1, 1, 2, 4, 6, 8)),
    "small": SMALL_PD,
    "heads of 32": PDConfig(image_size=64, ch=32, ch_mult=(1, 3), attn_resolutions=(32,), head_dim=32),
    "grey": PDConfig(image_size=64, ch=64, ch_mult=(1, 2, 2), attn_resolutions=(32, 16), in_ch=1, out_ch=2),
}
MANIFESTS = ["pd-church-128", "pd-church-256", "pd-small"]


SMALL = shapes(pd())


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_follows_from_the_tensors(name: str) -> None:
    config = CONFIGS[name]
    match = matched(shapes(pd(config)))
    assert match.family == "pd"
    assert match.config == config
    size, heads = match.remarks
    assert f"{config.image_size} x {config.image_size} assumed" in size
    assert f"width of an attention head: {config.head_dim} assumed" in heads


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_manifests(name: str) -> None:
    published, manifest = load_config(name), load_manifest(name)
    match = matched(manifest)
    assert match.layout.tensors == manifest and not match.layout.unused  # each is taken
    assert match.config.image_size == published["image_size"]
    for key in ("ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_ch", "out_ch", "head_dim", "temb_ch"):
        value = getattr(match.config, key)
        assert (list(value) if isinstance(value, tuple) else value) == published["model"][key]


def test_any_one_tensor_missing_renamed_or_mis_shaped_is_named() -> None:
    for name, shape in SMALL.items():
        check_faults_are_named(SMALL, name, (*shape[:-1], shape[-1] + 1), "pd")


def test_order_of_the_tensors_does_not_matter() -> None:
    check_order_does_not_matter(SMALL)


def test_attention_is_taken_apart() -> None:
    arrays = pd()
    sources = matched(SMALL).layout.sources
    for leaf in ("weight", "bias"):
        parts = [sources[f"mid.attn_1.{part}.{leaf}"].build(arrays.__getitem__) for part in "qkv"]
        whole = arrays[f"mid.attn_1.qkv.{leaf}"]
        np.testing.assert_array_equal(np.concatenate(parts), whole.transpose(0, 2, 3, 1) if whole.ndim == 4 else whole)


def test_image_size() -> None:
    assert matched(SMALL, 128).config.attn_resolutions == (64,)
    for size in (0, 33):
        with pytest.raises(SigeError, match="no multiple of 2"):
            matched(SMALL, size)


replacements = st.dictionaries(st.sampled_from(sorted(SMALL)), hostile_shapes, min_size=1, max_size=6)


@given(replacements, st.booleans())
def test_hostile_shapes(changed: dict[str, Shape], alone: bool) -> None:
    check_hostile_shapes(SMALL, changed if alone else {**SMALL, **changed})


# ---- files


def published(path: Path, arrays: Arrays) -> Path:
    """A file as the authors wrote theirs."""
    root, storages = state_dict(arrays)
    return write_zip(path, {"model": root}, storages)


def test_a_published_file_is_converted(tmp_path: Path) -> None:
    arrays = pd()
    made = convert(published(tmp_path / "net.pth", arrays), tmp_path / "m", settings={"head_dim": 32})
    assert (made.family, made.config.head_dim, zoo.load(tmp_path / "m").edit.tiles_from) == ("pd", 32, 8)
    assert sum(array.size for array in load_file(tmp_path / "m" / "model.safetensors").values()) == made.parameters
    assert made.parameters == sum(array.size for array in arrays.values())
    assert zoo.load(tmp_path / "m").model.config == made.config


def test_the_published_network_goes_by_its_name() -> None:
    for name, config in (("pd-church-128", "church 128"), ("pd-church-256", "church 256")):
        assert zoo.name_for("pd", CONFIGS[config], Path("net.pth")) == name


def test_reference_network(tmp_path: Path) -> None:
    require_reference()
    convert(published(tmp_path / "net.pth", load_weights("pd-small")), tmp_path / "m")
    case = load_case("pd-small-corner")
    found = zoo.load(tmp_path / "m").module()(mx.array(case["x_edited"]), mx.array(case["timestep"].reshape(1)))
    error = np.linalg.norm(np.asarray(found) - case["dense_edited"])
    assert error < 1e-5 * np.linalg.norm(case["dense_edited"])
