"""What every executor must show on a frozen case: the original network's output, and an error no larger than SIGE's."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.engine import Engine
from tests.labels import one_hot
from tests.reference import case_names, load_case

DENSE = 1e-4
"""Largest root mean square difference of a dense pass, relative to the original's."""

MARGIN = 1.001
"""Largest error of an edit, relative to SIGE's: no more, but for sums in another order (up to 1.0006 is seen)."""


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The measure of `peer_error`: RMS of the difference over the standard deviation of what is expected."""
    return rms(found - expected) / float(expected.std())


def network_of(case: str) -> str:
    """ "gaugan-small-blob15" is of "gaugan-small"."""
    return case.rsplit("-", 1)[0]


def cases(network: str) -> list[str]:
    return [name for name in case_names(f"{network}-") if "trajectory" not in name]


def assert_within_bounds(engine: Engine, name: str, rounding: float = 0.0) -> None:
    """Records the original of a case and edits it; `engine` is for its network. `rounding` is what half precision may
    add to either bound."""
    case = load_case(name)
    mask = case["mask"].astype(np.bool_)
    if "labels" in case:
        x, x_edited = (one_hot(case[f"labels{w}"], case[f"instances{w}"]) for w in ("", "_edited"))
        given = {}
    else:
        condition = next(condition for condition in engine.lowered.graph.inputs if condition != "x")
        x, x_edited, given = case["x_original"], case["x_edited"], {condition: case["timestep"].reshape(1)}

    original = np.asarray(engine.record(x=x, **given))
    assert rms(original - case["dense_original"]) <= (DENSE + rounding) * rms(case["dense_original"])
    assert engine.macs == pytest.approx(int(case["dense_macs"]), rel=0.005)  # SIGE's count has other small terms

    expected = case["dense_edited"]
    prepared = engine.prepare(mask)
    found = np.asarray(engine.edit(prepared, x=x_edited, **given))
    if engine.policy.output == "everywhere":  # else pixels outside the tiles are no estimate of the edited ones
        assert relative(found, expected) <= MARGIN * float(case["peer_error"]) + rounding
    assert relative(found[:, mask], expected[:, mask]) <= MARGIN * float(case["peer_error_in_mask"]) + rounding
    assert prepared.macs < 0.9 * engine.macs
    engine.recordings.forget()
