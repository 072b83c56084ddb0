"""Fixtures of the measures that are networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.metrics.published import Publisher


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    return Publisher(tmp_path, monkeypatch)
