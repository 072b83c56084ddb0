"""Set-up shared by every test; the markers are declared in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.openblas import preload_openblas
from tests.reference import require_reference

BLAS = preload_openblas()

import mlx.core as mx

from sige_mlx.engine.gpu.launch import virtual_gpu

if virtual_gpu():  # as on the runners that GitHub lends: what MLX computes there is the oracle of most tests
    mx.set_default_device(mx.cpu)

# Derandomised: a failure is the code's, never the draw's. `pytest --hypothesis-profile=thorough` looks further.
settings.register_profile("fast", derandomize=True, deadline=None, max_examples=30)
settings.register_profile("thorough", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("fast")


def pytest_report_header() -> str:
    return f"BLAS under MLX: {BLAS or 'its own'}"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers from MLX, whichever tests ran before it.

    It also cuts MLX's chain of keys, each split lazily from the one before: a suite that builds networks without
    evaluating them makes it so long that the first gradient overflows the stack walking it.
    """
    mx.random.seed(0)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the frozen cases; tests that ask for it are skipped where it is absent."""
    return require_reference()
