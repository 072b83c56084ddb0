"""Recognising CycleGAN's ResNet generators by their tensors, in every layout they were published in."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sige_mlx.converters import convert
from sige_mlx.converters.families.family import Shape
from sige_mlx.errors import SigeError
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from tests.converters.families.recognition import (
    built,
    check_faults_are_named,
    check_hostile_shapes,
    check_order_does_not_matter,
    check_permuted_names_do_not_fit,
    hostile_shapes,
    matched,
    shapes,
)
from tests.converters.networks import SMALL_RESNET, resnet_generator
from tests.converters.writer import save
from tests.trained import CHECKPOINT_SHA256, CHECKPOINT_SIZE, vintagify

BUFFERS = ("running_mean", "running_var")
BATCH = ResnetGeneratorConfig(ngf=4, n_blocks=6, norm="batch", affine=True)
AFFINE = ResnetGeneratorConfig(ngf=4, n_blocks=6, affine=True)
LAYOUTS = {
    "cyclegan": resnet_generator(),
    "dropout": resnet_generator(dropout=True),
    "old": resnet_generator(buffers=BUFFERS),
    "less old": resnet_generator(buffers=(*BUFFERS, "num_batches_tracked"), dropout=True),
    "affine": resnet_generator(AFFINE, block="block"),
    "batch": resnet_generator(BATCH, dropout=True, buffers=("num_batches_tracked",)),
    "old batch": resnet_generator(BATCH),
}
CONFIGS = {"affine": AFFINE, "batch": BATCH, "old batch": BATCH}


@pytest.mark.parametrize("name", LAYOUTS)
def test_configuration_follows_from_the_tensors(name: str) -> None:
    match = matched(shapes(LAYOUTS[name]))
    assert (match.family, match.config) == ("resnet_generator", CONFIGS.get(name, SMALL_RESNET))
    assert match.remarks == ("no tensor tells the picture's size: 256 x 256 assumed, and edits go by their pictures",)
    assert match.layout.tensors == shapes(LAYOUTS[name])  # each is taken, or listed as unused
    used = ("weight", "bias", *BUFFERS) if match.config.norm == "batch" else ("weight", "bias")
    assert set(match.layout.unused) == {n for n in LAYOUTS[name] if n.rpartition(".")[2] not in used}


@pytest.mark.parametrize("n_blocks", [0, 1, 6, 9, 12])
def test_any_number_of_blocks(n_blocks: int) -> None:
    config = ResnetGeneratorConfig(ngf=2, n_blocks=n_blocks, input_nc=1, output_nc=5)
    assert matched(shapes(resnet_generator(config))).config == config


def test_the_published_network() -> None:
    match = matched(shapes(resnet_generator(ResnetGeneratorConfig())))
    assert match.config == ResnetGeneratorConfig()
    assert list(match.layout.sources["blocks.8.conv2.weight"].tensors) == ["model.18.conv_block.5.weight"]
    assert match.layout.sources["up.1.conv.weight"].tensors == {"model.22.weight": (128, 64, 3, 3)}
    assert match.layout.sources["conv_out.bias"].tensors == {"model.26.bias": (3,)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_one_tensor_missing_renamed_or_mis_shaped_is_named(name: str) -> None:
    tensors = shapes(LAYOUTS[name])
    for tensor in ["model.1.weight", "model.23.bias", *random.Random(0).sample(list(tensors), 15)]:
        check_faults_are_named(tensors, tensor, (*tensors[tensor], 1), "resnet_generator")


def test_order_of_the_tensors_does_not_matter() -> None:
    check_order_does_not_matter(shapes(LAYOUTS["old"]))


def test_permuted_names_do_not_fit() -> None:
    check_permuted_names_do_not_fit(shapes(LAYOUTS["cyclegan"]))


def test_weights_come_in_our_layout() -> None:
    arrays, found = LAYOUTS["cyclegan"], built(LAYOUTS["cyclegan"])
    np.testing.assert_array_equal(found["stem.conv.weight"], arrays["model.1.weight"].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(found["up.0.conv.weight"], arrays["model.16.weight"].transpose(1, 2, 3, 0))
    np.testing.assert_array_equal(found["up.0.conv.bias"], arrays["model.16.bias"])


@pytest.mark.parametrize("name", ["dropout", "old", "less old"])
def test_every_layout_gives_the_same_parameters(name: str) -> None:
    """Of what differs between them nothing is drawn before the last of the parameters that they share."""
    expected = {layer: value.shape for layer, value in built(LAYOUTS["cyclegan"]).items()}
    assert {layer: value.shape for layer, value in built(LAYOUTS[name]).items()} == expected
    block = "model.12.conv_block." + ("6" if name in ("dropout", "less old") else "5")
    values = LAYOUTS[name][f"{block}.weight"].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(built(LAYOUTS[name])["blocks.2.conv2.weight"], values)


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_of_every_layout_are_converted(name: str, tmp_path: Path) -> None:
    made = convert(save(tmp_path / "latest_net_G.pth", LAYOUTS[name]), tmp_path / "m")
    found, expected = load_file(tmp_path / "m" / "model.safetensors"), built(LAYOUTS[name])
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
    assert made.config.n_blocks == 6 and any("no tensor tells" in note for note in made.notes)


def test_image_size() -> None:
    match = matched(shapes(LAYOUTS["cyclegan"]), 128)
    assert (match.config.image_size, match.remarks) == ((128, 128), ())
    with pytest.raises(SigeError, match="a picture of 130×130 pixels"):
        matched(shapes(LAYOUTS["cyclegan"]), 130)


names = st.sampled_from([*shapes(LAYOUTS["old"]), "model.16.conv_block.1.weight", "model.99999999.conv_block.1.weight"])
replacements = st.dictionaries(names, hostile_shapes, min_size=1, max_size=6)


@given(replacements, st.sampled_from(["", *LAYOUTS]))
def test_hostile_shapes(changed: dict[str, Shape], base: str) -> None:
    original = shapes(LAYOUTS[base]) if base else {}
    check_hostile_shapes(original, {**original, **changed})


def test_trained_weights_of_another_project(tmp_path: Path) -> None:
    made = convert(vintagify(), tmp_path / "m")
    assert (made.family, made.config) == ("resnet_generator", ResnetGeneratorConfig(affine=True))
    assert (made.parameters, made.sha256) == (CHECKPOINT_SIZE, CHECKPOINT_SHA256)
