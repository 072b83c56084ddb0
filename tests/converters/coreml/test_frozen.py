"""The frozen cases through saved packages: the engine's numbers, and so the original networks'."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")

from sige_mlx.engine import Engine
from tests.converters.coreml.packages import Saved, as_given, check, error, needed
from tests.engine.frozen import DENSE, cases
from tests.graph.networks import Mask
from tests.labels import one_hot
from tests.models.networks import frozen_network
from tests.reference import load_case

pytestmark = pytest.mark.slow


def inputs_of(case: dict[str, np.ndarray], condition: str | None, which: str) -> dict[str, Any]:
    """What the network is given: the original, or with "_edited" the edited picture or label map."""
    if condition is None:
        return {"x": one_hot(case[f"labels{which}"], case[f"instances{which}"])}
    return {"x": case[f"x{which or '_original'}"], condition: case["timestep"].reshape(1)}


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("name", ["ddpm-small", "pd-small", "gaugan-small", "gan-compression-small"])
def test_frozen_cases(name: str, half: bool, tmp_path: Path) -> None:
    network = frozen_network(name)
    policy = dataclasses.replace(network.policy(), large=None, dense_from=math.inf)
    engine = Engine(network.model, "cpu", policy)
    condition = next((name for name in engine.lowered.graph.inputs if name != "x"), None)
    loaded = {of: load_case(of) for of in cases(name)}
    masks: dict[str, Mask] = {of: case["mask"].astype(np.bool_) for of, case in loaded.items()}
    full = max(needed(engine, mask) for mask in masks.values())
    packages = Saved(engine, network.load, tmp_path, (full,), half)
    originals: dict[bytes, list[str]] = {}
    for of, case in loaded.items():  # of which several cases may have one
        originals.setdefault(np.asarray(inputs_of(case, condition, "")["x"]).tobytes(), []).append(of)
    for same in originals.values():
        inputs = inputs_of(loaded[same[0]], condition, "")
        edits = {of: (masks[of], inputs_of(loaded[of], condition, "_edited")) for of in same}
        check(packages, inputs, edits)
        dense = packages.run("dense", as_given(inputs))["output"].transpose(0, 2, 3, 1)
        assert error(dense, loaded[same[0]]["dense_original"]) <= DENSE + (1e-2 if half else 0)
