"""The frozen cases: our dense pass against the original network's, our edits against SIGE's own error."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.engine import Engine
from tests.engine.compare import DEVICES
from tests.models.networks import frozen_network
from tests.reference import case_names, load_case

DENSE = 1e-4
"""Largest root mean square difference of a dense pass, relative to the original's."""

MARGIN = 1.02
"""Largest error of an edit, relative to SIGE's."""


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The measure of `peer_error`: RMS of the difference over the standard deviation of what is expected."""
    return rms(found - expected) / float(expected.std())


@pytest.fixture(scope="module")
def engines() -> dict[tuple[str, str], Engine]:
    return {}


def assert_within_bounds(engines: dict[tuple[str, str], Engine], network: str, name: str, device: str) -> None:
    if (network, device) not in engines:
        engines[network, device] = Engine(frozen_network(network), device)
    engine, case = engines[network, device], load_case(name)
    t, mask = case["timestep"].reshape(1), case["mask"].astype(np.bool_)

    original = np.asarray(engine.record(x=case["x_original"], t=t))
    assert rms(original - case["dense_original"]) <= DENSE * rms(case["dense_original"])
    assert engine.macs == pytest.approx(int(case["dense_macs"]), rel=0.005)  # SIGE's count has other small terms

    expected = case["dense_edited"]
    for everywhere in (True, False):
        prepared = engine.prepare(mask, everywhere)
        found = np.asarray(engine.edit(prepared, x=case["x_edited"], t=t))
        if everywhere:  # else pixels outside the tiles are the original's, and no estimate of the edited ones
            assert relative(found, expected) <= MARGIN * float(case["peer_error"])
        assert relative(found[:, mask], expected[:, mask]) <= MARGIN * float(case["peer_error_in_mask"])
        assert prepared.edit.macs < 0.9 * engine.macs
    engine.forget()


def cases(network: str) -> list[str]:
    return [name for name in case_names(f"{network}-") if "trajectory" not in name]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", cases("ddpm-small"))
def test_small(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    assert_within_bounds(engines, "ddpm-small", name, device)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", cases("ddpm-church-256"))
def test_church(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    assert_within_bounds(engines, "ddpm-church-256", name, device)


@pytest.mark.parametrize("device", DEVICES)
def test_dense_edited(device: str) -> None:
    case = load_case("ddpm-small-stroke")
    found = np.asarray(Engine(frozen_network("ddpm-small"), device)(x=case["x_edited"], t=case["timestep"].reshape(1)))
    assert rms(found - case["dense_edited"]) <= DENSE * rms(case["dense_edited"])
