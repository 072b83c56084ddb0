"""A model is an ordinary module: it knows nothing of how edits of it are run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import sige_mlx.models

FILES = sorted(Path(sige_mlx.models.__file__).parent.glob("*.py"))
FOREIGN = r"\b\w*(tile|tiling|mask|cache|device|engine|executor|cpu|gpu|record)\w*\b"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_model_mentions_tiles_masks_or_devices(path: Path) -> None:
    assert re.findall(rf"(?i){FOREIGN}", path.read_text()) == []


def test_what_is_looked_for_is_found() -> None:
    for text in ("active_tiles", "a mask's", "device='cpu'", "Tiling", "self.engine"):
        assert re.search(rf"(?i){FOREIGN}", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_models_import_layers_and_each_other_alone(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            imported |= set(names) if node.module == "sige_mlx" else {str(node.module)}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.startswith("sige_mlx")}
    allowed = ("sige_mlx.nn", "sige_mlx.errors", "sige_mlx.models")
    assert {name for name in ours if not name.startswith(allowed)} == set()
