"""Small models for the editor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny import CONFIG, LABEL_CONFIG, TRANSLATION_CONFIG, write_tiny_model

if TYPE_CHECKING:
    from sige_mlx.app.running import Running


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a diffusion model of 32 × 32 pixels."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", CONFIG)


@pytest.fixture(scope="session")
def tiny_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a model of label maps of 64 × 32 pixels."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny-labels", LABEL_CONFIG)


@pytest.fixture(scope="session")
def tiny_translation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a model that translates pictures."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny-translation", TRANSLATION_CONFIG)


@pytest.fixture
def running(tiny: Path) -> Iterator[Running]:
    """A server with the small diffusion model."""
    from tests.app.talking import serving

    with serving(tiny) as server:
        yield server
