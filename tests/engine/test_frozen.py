"""The frozen cases: our dense pass against the original network's, our edits against SIGE's own error."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.engine import Engine
from tests.engine.compare import EVERYWHERE
from tests.labels import one_hot
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
    mask = case["mask"].astype(np.bool_)
    if "labels" in case:
        x, x_edited = (one_hot(case[f"labels{w}"], case[f"instances{w}"]) for w in ("", "_edited"))
        given = {}
    else:
        x, x_edited, given = case["x_original"], case["x_edited"], {"t": case["timestep"].reshape(1)}

    original = np.asarray(engine.record(x=x, **given))
    assert rms(original - case["dense_original"]) <= DENSE * rms(case["dense_original"])
    assert engine.macs == pytest.approx(int(case["dense_macs"]), rel=0.005)  # SIGE's count has other small terms

    expected = case["dense_edited"]
    for everywhere in (True, False):
        prepared = engine.prepare(mask, everywhere)
        found = np.asarray(engine.edit(prepared, x=x_edited, **given))
        if everywhere:  # else pixels outside the tiles are the original's, and no estimate of the edited ones
            assert relative(found, expected) <= MARGIN * float(case["peer_error"])
        assert relative(found[:, mask], expected[:, mask]) <= MARGIN * float(case["peer_error_in_mask"])
        assert prepared.edit.macs < 0.9 * engine.macs
    engine.forget()


LABELS = ("gaugan", "gan-compression")


def network_of(case: str) -> str:
    """ "gaugan-small-blob15" is of "gaugan-small"."""
    return case.rsplit("-", 1)[0]


def cases(network: str) -> list[str]:
    return [name for name in case_names(f"{network}-") if "trajectory" not in name]


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("name", cases("ddpm-small"))
def test_small(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    assert_within_bounds(engines, "ddpm-small", name, device)


@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-small")])
def test_small_label_maps(engines: dict[tuple[str, str], Engine], name: str) -> None:
    assert_within_bounds(engines, network_of(name), name, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-small")])
def test_small_label_maps_on_the_reference(engines: dict[tuple[str, str], Engine], name: str) -> None:
    assert_within_bounds(engines, network_of(name), name, "reference")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-cityscapes")])
def test_cityscapes(engines: dict[tuple[str, str], Engine], name: str) -> None:
    assert_within_bounds(engines, network_of(name), name, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("name", cases("ddpm-church-256"))
def test_church(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    assert_within_bounds(engines, "ddpm-church-256", name, device)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_dense_edited(device: str) -> None:
    case = load_case("ddpm-small-stroke")
    found = np.asarray(Engine(frozen_network("ddpm-small"), device)(x=case["x_edited"], t=case["timestep"].reshape(1)))
    assert rms(found - case["dense_edited"]) <= DENSE * rms(case["dense_edited"])
