"""torchvision beside a PyTorch that it was not compiled for.

Its wheel on PyPI for Linux is that of CUDA's PyTorch. Beside the CPU's its compiled part does not load, and then
`import torchvision` fails for whoever tries it, such as diffusers, over a description of operations that are not there.
What the tests take of it, and what diffusers would, is plain Python: so these operations are declared before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_OPERATIONS = ("nms", "qnms")  # those that torchvision describes without asking whether it has them
_declared: list[object] = []  # a declaration ends with the object that made it


class _Before(MetaPathFinder):
    """Asked for each module that is looked for; finds none, and is done after the first torchvision."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            if spec := PathFinder.find_spec(name):
                _declare(Path(str((spec.submodule_search_locations or [""])[0])))
        return None


def watch_torchvision() -> None:
    """Have the operations declared when somebody imports torchvision."""
    sys.meta_path.insert(0, _Before())


def _declare(package: Path) -> None:
    import torch

    try:
        torch.ops.load_library(package / "_C.so")
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for operation in _OPERATIONS:
            library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
