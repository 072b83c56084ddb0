"""The frozen cases: outputs of the original PyTorch networks, kept in a folder outside the repository.

The folder is named by SIGE_REFERENCE, else `../shared/reference` beside the checkout. Its README.md describes every
array; its weights.py makes every weight from the parameter's name and shape, so no checkpoint is stored.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Shape = tuple[int, ...]

ABSENT = "no frozen cases: set SIGE_REFERENCE to their folder (the one that holds weights.py)"
"""Why tests that need them are skipped."""


def reference_dir() -> Path | None:
    """The folder of frozen cases, or None where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = Path(os.environ.get("SIGE_REFERENCE", default))
    return folder if (folder / "weights.py").is_file() else None


def require_reference() -> Path:
    """The folder of frozen cases; skips the calling test where there is none."""
    folder = reference_dir()
    if folder is None:
        pytest.skip(ABSENT)
    return folder


def case_names(prefix: str = "") -> list[str]:
    """Names of the frozen cases that start with `prefix`, sorted; empty where there are none."""
    folder = reference_dir()
    return [] if folder is None else sorted(path.stem for path in (folder / "cases").glob(f"{prefix}*.npz"))


def manifest_names() -> list[str]:
    """Names of the networks that have a manifest, sorted; empty where there are none."""
    folder = reference_dir()
    paths = [] if folder is None else (folder / "manifests").glob("*.json")
    return sorted(path.stem for path in paths if not path.stem.endswith(".config"))


def load_case(name: str) -> dict[str, np.ndarray]:
    """Arrays of one case, such as "ddpm-small-stroke": NHWC float32."""
    with np.load(require_reference() / "cases" / f"{name}.npz") as arrays:
        return dict(arrays)


def load_manifest(name: str) -> dict[str, Shape]:
    """Every key of a network's state dict, such as "ddpm-small", and its shape in PyTorch's layout."""
    return {key: tuple(shape) for key, shape in _read_json(f"{name}.json").items()}


def load_config(name: str) -> dict[str, Any]:
    """A network's configuration and edit settings (eps, mask dilation, thresholds, block sizes)."""
    return _read_json(f"{name}.config.json")


def load_weights(name: str) -> dict[str, np.ndarray]:
    """A network's state dict in PyTorch's layout (convolutions OIHW), float32: the weights the cases were made with."""
    folder = require_reference()
    weights: dict[str, np.ndarray] = _weights_module(folder).make(str(folder / "manifests" / f"{name}.json"))
    return weights


def _read_json(file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((require_reference() / "manifests" / file).read_text())
    return content


@functools.cache
def _weights_module(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_weights", folder / "weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
