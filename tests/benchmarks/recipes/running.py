"""Runs of tiny trainings."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from benchmarks.recipes.training import Trainer

Tiny = TypeVar("Tiny", bound="Trainer[Any]")


def run(tiny: Tiny, folder: Path, steps: int = 100) -> Tiny:
    """At most `steps` more steps."""
    asked = itertools.count()
    tiny.run(folder, lambda: next(asked) >= steps, lambda _: None)
    return tiny
