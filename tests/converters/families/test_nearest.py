"""What is said of a file that fits no network: the family that comes nearest, and what keeps it from fitting."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sige_mlx.converters import convert
from sige_mlx.converters.families import LAYOUTS, recognise
from sige_mlx.errors import SigeError
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from tests.converters.families.recognition import Tensors, complaint, matched, shapes
from tests.converters.networks import (
    SMALL_SPADE,
    ddpm,
    fused_ddpm,
    fused_label_to_image,
    pd,
    resnet_generator,
    spade,
    spectral_spade,
    sub_mobile_spade,
)
from tests.converters.writer import save
from tests.reference import load_manifest, manifest_names, require_reference

FILES = {
    "ddpm": (ddpm(), "ddpm"),
    "fused ddpm": (fused_ddpm(ddpm()), "ddpm"),
    "pd": (pd(), "pd"),
    "spade": (spade(), "spade"),
    "fused spade": (fused_label_to_image(spade()), "spade"),
    "spectral spade": (spectral_spade(spade()), "spade"),
    "sub-mobile": (sub_mobile_spade(), "sub_mobile_spade"),
    "fused sub-mobile": (fused_label_to_image(sub_mobile_spade()), "sub_mobile_spade"),
    "generator": (resnet_generator(), "resnet_generator"),
    "affine generator": (resnet_generator(ResnetGeneratorConfig(ngf=4, affine=True)), "resnet_generator"),
}
FAMILY_OF_MANIFEST = {"ddpm": "ddpm", "pd": "pd", "gaugan": "spade", "gan-compression": "sub_mobile_spade"}


def check_halves(tensors: Tensors, family: str, tries: int) -> None:
    """Of any half of a network's tensors its family comes nearest, and it is told how many of what are missing."""
    for seed in range(tries):
        kept = set(random.Random(seed).sample(list(tensors), len(tensors) // 2))
        text = complaint({name: shape for name, shape in tensors.items() if name in kept})
        nearest = text.partition("; ")[2]
        assert nearest.startswith((f"{family} comes nearest, with ", f"{family} (by the names of ")), (seed, text)
        assert " missing: " in nearest


@pytest.mark.parametrize("name", FILES)
def test_any_half_of_a_network_is_known_for_what_it_is(name: str) -> None:
    arrays, family = FILES[name]
    check_halves(shapes(arrays), family, 8)


@pytest.mark.parametrize("name", manifest_names())
def test_any_half_of_a_manifest_is_known_for_what_it_is(name: str) -> None:
    family = next(family for start, family in FAMILY_OF_MANIFEST.items() if name.startswith(start))
    check_halves(load_manifest(name), family, 8)


@pytest.mark.parametrize("name", ["gaugan-small", "gan-compression-small"])
def test_a_file_that_is_cut_short_is_held_against_its_own_layout(name: str) -> None:
    """Against the fused one, which has fewer tensors, others would be missing and some unexpected."""
    require_reference()
    manifest = load_manifest(name)
    text = complaint(dict(list(manifest.items())[:20]))
    assert f"with {len(manifest) - 20} missing: " in text and "unexpected" not in text


def test_without_a_width_the_names_are_compared_with_the_published_network() -> None:
    tensors = {name: shape for name, shape in shapes(spade()).items() if name.endswith("running_mean")}
    text = complaint(tensors)
    assert "; spade (by the names of gaugan-cityscapes) comes nearest, with " in text
    assert " missing: fc.weight, fc.bias, " in text and "mis-shaped" not in text


def test_names_alone_are_no_network() -> None:
    """Every shape is another's: nothing of it can be converted."""
    assert "mis-shaped" in complaint({name: (7, 7) for name in shapes(spade(SMALL_SPADE))})


def test_a_file_of_other_names_is_like_none() -> None:
    assert complaint({"encoder.weight": (3, 3)}).startswith(
        "its 1 tensors (encoder.weight) are not those of a known network (ddpm, pd, "
    )


def test_of_the_family_that_was_asked_for_it_is_told_what_is_missing() -> None:
    family = next(family for family in LAYOUTS if family.name == "pd")
    for tensors in ({"encoder.weight": (3, 3)}, shapes(spade())):
        with pytest.raises(SigeError, match=r"\(pd\); pd \(by the names of pd-church-128\) comes nearest, with \d+ mi"):
            recognise(tensors, [family])


# ---- prefixes


@pytest.mark.parametrize("prefix", ["netG.", "model.netG.", "generator.model."])
@pytest.mark.parametrize("name", ["spade", "generator"])
def test_a_prefix_of_all_names_is_stripped(prefix: str, name: str) -> None:
    tensors = shapes(FILES[name][0])
    match = matched({prefix + tensor: shape for tensor, shape in tensors.items()})
    assert (match.prefix, match.layout) == (prefix, matched(tensors).layout)


def test_a_prefix_of_all_names_is_named() -> None:
    tensors = {f"netG.{name}": shape for name, shape in shapes(spade()).items() if name != "fc.bias"}
    text = complaint(tensors)
    assert "), without their prefix 'netG.' neither; spade comes nearest, with 1 missing: fc.bias" in text


def test_a_file_with_a_prefix_is_converted(tmp_path: Path) -> None:
    arrays = resnet_generator()
    plain, prefixed = save(tmp_path / "a.pth", arrays), {f"netG.{name}": value for name, value in arrays.items()}
    convert(plain, tmp_path / "a")
    made = convert(save(tmp_path / "b.pth", prefixed), tmp_path / "b")
    assert "the names of its tensors are taken without their prefix 'netG.'" in made.notes
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
