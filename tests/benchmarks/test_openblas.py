"""Which BLAS tests run on is what they say."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path

import pytest

from benchmarks.openblas import preload_openblas


@pytest.fixture(autouse=True)
def asked_for_the_first_time() -> None:
    preload_openblas.cache_clear()


def test_mlx_can_be_left_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_TEST_BLAS", "mlx")
    assert preload_openblas() is None


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_it_is_too_late_once_mlx_is_there(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGE_TEST_BLAS", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    if platform == "darwin":  # MLX uses Accelerate there
        assert preload_openblas() is None
    else:
        with pytest.raises(RuntimeError, match="before mlx"):
            preload_openblas()


def test_openblas_is_loaded_where_it_is_and_not_refused() -> None:
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    loaded = any("/libopenblas" in line and "numpy" not in line for line in lines)  # NumPy brings one, for itself
    wanted = sys.platform == "linux" and os.environ.get("SIGE_TEST_BLAS") != "mlx"
    assert loaded == (wanted and ctypes.util.find_library("openblas") is not None)
