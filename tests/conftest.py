"""Set-up shared by every test; the markers are declared in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.openblas import preload_openblas
from tests.reference import ABSENT, reference_dir, require_reference
from tests.torchvision_import import watch_torchvision

pytest_plugins = ["tests.once", "tests.skips"]

BLAS = preload_openblas()
watch_torchvision()

# Kernels that were compiled stay in the checkout: tests neither see nor change what the user has.
CACHE = Path(__file__).parents[1] / "build" / "cache"
os.environ["SIGE_MLX_CACHE"] = str(CACHE)
os.environ["SIGE_SIM_CACHE"] = str(CACHE / "metal-sim")

import mlx.core as mx

from benchmarks.simulated.device import Simulated
from sige_mlx.engine.gpu.launch import use, virtual_gpu

if virtual_gpu():  # as on the runners that GitHub lends: what MLX computes there is the oracle of most tests
    mx.set_default_device(mx.cpu)

# Derandomised: a failure is the code's, never the draw's. `pytest --hypothesis-profile=thorough` looks further.
settings.register_profile("fast", derandomize=True, deadline=None, max_examples=30)
settings.register_profile("thorough", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("fast")


def pytest_report_header() -> str:
    return f"BLAS under MLX: {BLAS or 'its own'}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Says why there is nothing to run a test on, where its parameters are frozen cases and there are none."""
    if reference_dir() is None:
        empty = [mark for mark in item.own_markers if "empty parameter set" in mark.kwargs.get("reason", "")]
        item.own_markers = [pytest.mark.skip(reason=ABSENT).mark if m in empty else m for m in item.own_markers]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers from MLX, whichever tests ran before it.

    It also cuts MLX's chain of keys, each split lazily from the one before: a suite that builds networks without
    evaluating them makes it so long that the first gradient overflows the stack walking it.
    """
    mx.random.seed(0)


@pytest.fixture
def model_of_metal() -> Iterator[None]:
    """Engines on the device "gpu" run on the model of Metal."""
    with use(Simulated):
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the frozen cases; tests that ask for it are skipped where it is absent."""
    return require_reference()
