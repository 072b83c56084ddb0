"""Functions of packages compute what the CPU engine computes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("coremltools")

from sige_mlx import families, zoo
from sige_mlx.engine import Engine
from sige_mlx.engine.estimates import half as half_size
from sige_mlx.families import build
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy, Statistics
from sige_mlx.masks import active_tiles, mask_pyramid, tile_list
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig
from sige_mlx.nn.module import parameters
from tests import tiny
from tests.converters.coreml.packages import Saved, check, needed
from tests.engine.compare import image
from tests.graph.networks import Mask, RandomUNet, Spec, masks
from tests.policies import policy

SUB = SubMobileSPADEConfig(crop_size=64, num_upsampling_layers="normal", config_str="2_3_1_4_2_3_1_5")
THIN = dataclasses.replace(tiny.LABEL_CONFIG, ngf=3, nhidden=5)
CONFIGS: dict[str, Any] = {
    "ddpm": tiny.CONFIG,
    "pd": tiny.PD_CONFIG,
    "adm": families.named("adm").config(**families.named("adm").small[0]),
    "spade": tiny.LABEL_CONFIG,
    "thin spade": THIN,
    "sub_mobile_spade": SUB,
    "resnet_generator": tiny.TRANSLATION_CONFIG,
}
CASES = [
    pytest.param(family, of, marks=() if (family, of) == ("resnet_generator", "estimated") else pytest.mark.slow)
    for family in CONFIGS
    for of in ("fresh head", "followed", "estimated", "recorded")
    if of != "estimated" or family in ("resnet_generator", "adm")
]


def packages_of(
    config: Any, folder: Path, half: bool, edits: Mapping[str, Mask], statistics: Statistics = "recorded"
) -> Saved:
    """Packages of a small network, whose edits take these statistics, at buckets that one of the edits fills and that
    one fills by half."""
    family, fields = tiny.described(config)
    model = build(family, fields)
    load = zoo.random_weights(model)
    known = families.named(family)
    policy = dataclasses.replace(
        known.policy(config), tiles_from=8, statistics=statistics, large=None, dense_from=math.inf
    )
    engine = Engine(model, "cpu", policy, load=load)
    full = max((needed(engine, mask) for mask in edits.values()), default=1)
    small = Lowered.of(model, policy, size=half_size(engine.lowered)) if statistics == "estimated" else None
    return Saved(engine, load, folder, (full, 2 * full), half, small)


def masks_of(size: tuple[int, int]) -> dict[str, Mask]:
    """Edits in the middle, in a corner, and along a border."""
    (h, w), found = size, {}
    for name, at in {
        "middle": (slice(9, 15), slice(10, 17)),
        "corner": (slice(h - 1, h), slice(w - 1, w)),
        "border": (slice(0, 1), slice(None)),
    }.items():
        found[name] = np.zeros((h, w), np.bool_)
        found[name][at] = True
    return found


def changed(inputs: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """The inputs with other pixels under the mask."""
    rng, made = np.random.default_rng(3), {}
    for name, x in inputs.items():
        other = rng.standard_normal(x.shape).astype(np.float32)
        whole = x.ndim == 4
        made[name] = np.where(np.broadcast_to(mask, x.shape[:3])[..., None], other, x) if whole else x
    return made


def drawn(engine: Engine, edits: Mapping[str, Mask]) -> tuple[dict[str, Any], dict[str, tuple[Mask, dict[str, Any]]]]:
    """Inputs of an original, and of edits of it."""
    inputs = image(engine)
    return inputs, {name: (mask, changed(inputs, mask)) for name, mask in edits.items()}


@pytest.mark.parametrize("half", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["float32", "float16"])
@pytest.mark.parametrize(("family", "statistics"), CASES)
def test_families(family: str, statistics: Statistics, half: bool, tmp_path: Path) -> None:
    config = CONFIGS[family]
    edits = masks_of(Lowered.of(build(*tiny.described(config)), EditPolicy()).image_size)
    packages = packages_of(config, tmp_path, half, edits, statistics)
    check(packages, *drawn(packages.engine, edits))
    for name, function in packages.programs.items():
        kinds = {op.kind for op in function.operations}
        assert not {kind for kind in kinds if "scatter" in kind or kind == "gather_nd" or "state" in kind}, name
        if name.startswith("edit"):
            whole = {op.kind for op in function.operations for kind in op.outputs.values() if kind.dtype == "int32"}
            assert whole <= {"slice_by_size", "reshape", "squeeze"}, "indices are the business of `tiles`"
        for op in function.operations:
            if op.kind == "gather":
                (indices,) = op.inputs["indices"]
                held = function.constants.get(indices) if isinstance(indices, str) else indices
                assert held is None or held.min() >= 0, f"{name}: an index is negative"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "steps",
    [
        (("attention", 6), ("down", 7), ("block", 6), ("up", 6)),
        (("first reflected", 5), ("pool", 6), ("transposed", 6)),
        (("separable", 6), ("spade", 7), ("down", 6), ("separable spade", 6), ("spade up", 4)),
    ],
    ids=["attention", "reflected", "modulated"],
)
@pytest.mark.parametrize("statistics", ["fresh head", "followed"])
def test_partial_tiles_and_batches(statistics: Statistics, steps: Any, batch: int, tmp_path: Path) -> None:
    """Planes of 20 and 12 pixels end in partial tiles of 8 and, halved, of 4."""
    spec = Spec(20, 12, 3, steps, norm_out=True, time=True, film=True)
    for tile in (8, 4):
        (folder := tmp_path / str(tile)).mkdir()
        model = RandomUNet(spec)
        engine = Engine(model, "cpu", policy(1, "tiles", statistics), batch=batch, tile=tile)
        params = parameters(model)
        mask = np.zeros((20, 12), np.bool_)
        mask[17:, 10:] = True
        buckets = needed(engine, mask), needed(engine, mask) + 1
        check(
            Saved(engine, lambda name, p=params: np.asarray(p[name]), folder, buckets), *drawn(engine, {"corner": mask})
        )


def test_lists_of_tiles_are_those_of_masks(tmp_path: Path) -> None:
    packages = packages_of(tiny.TRANSLATION_CONFIG, tmp_path, False, {})
    lowered = packages.engine.lowered
    h, w = lowered.image_size
    sizes = [(h, w), (h // 2, w // 2), (h // 4, w // 4)]
    assert lowered.planes == sizes

    @given(masks(h, w), st.integers(0, 2**31))
    def agree(mask: Mask, seed: int) -> None:
        mask &= np.random.default_rng(seed).random((h, w)) < 0.5  # it may be empty, and of single pixels
        lists = packages.calls.lists(mask)
        pyramid = mask_pyramid(mask, len(sizes), lowered.policy.dilation_per_level)
        for size, level in zip(sizes, pyramid, strict=True):
            rows = tile_list(active_tiles(level))
            count = int(lists[f"count_{size[0]}x{size[1]}"][0])
            assert count == len(rows)
            assert np.array_equal(lists[f"tiles_{size[0]}x{size[1]}"][:count], rows)

    agree()
