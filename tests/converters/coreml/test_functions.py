"""Functions of packages compute what the CPU engine computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("coremltools")

from sige_mlx import zoo
from sige_mlx.converters.coreml.borders import recorded_name
from sige_mlx.engine import Engine
from sige_mlx.families import build
from sige_mlx.masks import active_tiles, mask_pyramid, tile_list
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig
from sige_mlx.nn.module import parameters
from tests import tiny
from tests.converters.coreml.packages import Saved, as_given, error, nchw, needed
from tests.engine.compare import image
from tests.graph.networks import Mask, RandomUNet, Spec, masks
from tests.policies import policy

SUB = SubMobileSPADEConfig(crop_size=64, num_upsampling_layers="normal", config_str="2_3_1_4_2_3_1_5")
CONFIGS: dict[str, Any] = {
    "ddpm": tiny.CONFIG,
    "pd": tiny.PD_CONFIG,
    "spade": tiny.LABEL_CONFIG,
    "sub_mobile_spade": SUB,
    "resnet_generator": tiny.TRANSLATION_CONFIG,
}
FAMILIES = [pytest.param(name, marks=() if name == "resnet_generator" else pytest.mark.slow) for name in CONFIGS]
BOUNDS = {False: 1e-5, True: 1e-2}


def saved(config: Any, folder: Path, half: bool, batch: int = 1) -> Saved:
    model = build(*tiny.described(config))
    load = zoo.random_weights(model)
    return Saved(Engine(model, "cpu", tiny.policy_of(config), load=load, batch=batch), load, folder, half)


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


def check(packages: Saved, edits: dict[str, Mask]) -> None:
    """Dense pass, recording with each of its arrays, and edits at a bucket that is full and at one that is not."""
    engine, bound = packages.engine, BOUNDS[packages.half]
    inputs = image(engine)
    expected = nchw(engine.record(**inputs))
    assert error(packages.run("dense", as_given(inputs))["output"], expected) <= bound
    recorded = packages.run("record", as_given(inputs))
    assert error(recorded["output"], expected) <= bound
    step: Any = engine.recordings.of(0).record
    for key, array in step.arrays.items():
        name = recorded_name(key)
        if name in recorded and key[0] != "sums":
            found = recorded[name]
            array = array if found.ndim == 2 else nchw(array)
            assert error(found.reshape(-1), array.reshape(-1)) <= bound, name
    full = max(needed(engine, mask) for mask in edits.values())
    for name, mask in edits.items():
        other = changed(inputs, mask)
        result = nchw(engine.edit(engine.prepare(mask), **other))
        found = packages.edit(full, mask, recorded, as_given(other))
        assert error(found, result) <= bound, f"{name}: {error(found, result)}"
        shown = np.broadcast_to(engine.lowered.tiling(mask).at(result.shape[2:]).pixels()[:, None], result.shape)
        wrong = error(found[shown], result[shown])
        assert wrong <= bound, name
        assert error(result[shown], expected[shown]) > 5 * wrong, f"{name}: what the edit changes is lost in the error"


@pytest.mark.parametrize("half", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["float32", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, half: bool, tmp_path: Path) -> None:
    packages = saved(CONFIGS[family], tmp_path, half)
    check(packages, masks_of(packages.engine.image_size))
    for name, program in packages.programs.items():
        kinds = {op.op_type for op in program.functions["main"].operations}
        assert not {kind for kind in kinds if "scatter" in kind or kind == "gather_nd" or "state" in kind}, name
        if name.startswith("edit"):
            assert not kinds & {"floor_div", "mod", "cumsum", "topk"}, "indices are the business of `tiles`"


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
def test_partial_tiles_and_batches(steps: Any, batch: int, tmp_path: Path) -> None:
    """Planes of 20 and 12 pixels end in partial tiles of 8 and, halved, of 4."""
    spec = Spec(20, 12, 3, steps, norm_out=True, time=True, film=True)
    for tile in (8, 4):
        (folder := tmp_path / str(tile)).mkdir()
        model = RandomUNet(spec)
        engine = Engine(model, "cpu", policy(1, "tiles"), batch=batch, tile=tile)
        params = parameters(model)
        mask = np.zeros((20, 12), np.bool_)
        mask[17:, 10:] = True
        check(Saved(engine, lambda name, p=params: np.asarray(p[name]), folder), {"corner": mask})


def test_lists_of_tiles_are_those_of_masks(tmp_path: Path) -> None:
    packages = saved(tiny.TRANSLATION_CONFIG, tmp_path, False)
    lowered = packages.engine.lowered
    h, w = lowered.image_size
    sizes = [(h, w), (h // 2, w // 2), (h // 4, w // 4)]
    assert lowered.planes == sizes

    @given(masks(h, w), st.integers(0, 2**31))
    def agree(mask: Mask, seed: int) -> None:
        mask &= np.random.default_rng(seed).random((h, w)) < 0.5  # it may be empty, and of single pixels
        lists = packages.lists(mask)
        pyramid = mask_pyramid(mask, len(sizes), lowered.policy.dilation_per_level)
        for size, level in zip(sizes, pyramid, strict=True):
            rows = tile_list(active_tiles(level))
            count = int(lists[f"count_{size[0]}x{size[1]}"][0])
            assert count == len(rows)
            assert np.array_equal(lists[f"tiles_{size[0]}x{size[1]}"][:count], rows)

    agree()
