"""The frozen cases: our dense pass against the original network's, our edits against SIGE's own error."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.engine import Engine
from tests.engine.compare import EVERYWHERE
from tests.engine.frozen import DENSE, assert_within_bounds, cases, network_of, rms
from tests.models.networks import frozen_network
from tests.policies import OUTPUTS
from tests.reference import load_case


@pytest.fixture(scope="module")
def engines() -> dict[tuple[str, str], Engine]:
    return {}


def check(engines: dict[tuple[str, str], Engine], name: str, device: str, tiles_from: int | None = None) -> None:
    """One case on one device; engines are kept."""
    network = frozen_network(network_of(name))
    for output in OUTPUTS:
        key = f"{network_of(name)} {tiles_from} {output}", device
        if key not in engines:
            engines[key] = Engine(network.model, device, network.policy(tiles_from, output))
        assert_within_bounds(engines[key], name)


LABELS = ("gaugan", "gan-compression")


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("name", cases("ddpm-small"))
def test_small(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    check(engines, name, device)


@pytest.mark.parametrize("tiles_from", [32, 64])
@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("name", cases("pd-small"))
def test_small_distilled(engines: dict[tuple[str, str], Engine], name: str, device: str, tiles_from: int) -> None:
    check(engines, name, device, tiles_from)


@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-small")])
def test_small_label_maps(engines: dict[tuple[str, str], Engine], name: str) -> None:
    check(engines, name, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-small")])
def test_small_label_maps_on_the_reference(engines: dict[tuple[str, str], Engine], name: str) -> None:
    check(engines, name, "reference")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for network in LABELS for n in cases(f"{network}-cityscapes")])
def test_cityscapes(engines: dict[tuple[str, str], Engine], name: str) -> None:
    check(engines, name, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("name", cases("ddpm-church-256"))
def test_church(engines: dict[tuple[str, str], Engine], name: str, device: str) -> None:
    check(engines, name, device)


@pytest.mark.slow
@pytest.mark.parametrize("tiles_from", [32, 64])
@pytest.mark.parametrize("name", [n for size in (128, 256) for n in cases(f"pd-church-{size}")])
def test_church_distilled(engines: dict[tuple[str, str], Engine], name: str, tiles_from: int) -> None:
    check(engines, name, "cpu", tiles_from)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_dense_edited(device: str) -> None:
    case = load_case("ddpm-small-stroke")
    found = np.asarray(
        Engine(frozen_network("ddpm-small").model, device)(x=case["x_edited"], t=case["timestep"].reshape(1))
    )
    assert rms(found - case["dense_edited"]) <= DENSE * rms(case["dense_edited"])
