"""Files as the authors of a measure publish them, with other numbers in them, converted as a user converts theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.converters import ConvertedModel, convert
from sige_mlx.metrics import weights
from tests.converters.writer import save


class Publisher:
    """Writes files to a folder, has them taken for the published ones, and converts them into a cache of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self._patch = monkeypatch
        monkeypatch.setenv("SIGE_MLX_CACHE", str(folder / "cache"))

    def write(self, name: str, tensors: Mapping[str, np.ndarray]) -> Path:
        """The file that goes by `name` in `weights.PUBLISHED`, in which these tensors are."""
        path = save(self.folder / weights.PUBLISHED[name].file, tensors)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        self._patch.setitem(weights.PUBLISHED, name, replace(weights.PUBLISHED[name], digest=digest))
        return path

    def publish(self, name: str, tensors: Mapping[str, np.ndarray]) -> ConvertedModel:
        return convert(self.write(name, tensors))


def arrays(network: object, prefix: str = "") -> dict[str, np.ndarray]:
    """The state dict of a PyTorch network, with names that begin with `prefix`."""
    return {prefix + name: value.numpy() for name, value in network.state_dict().items()}  # type: ignore[attr-defined]
