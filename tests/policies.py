"""Policies under which tests run edits."""

from __future__ import annotations

import math

from sige_mlx.graph.policy import EditPolicy, Output, Statistics

OUTPUTS: tuple[Output, ...] = ("tiles", "everywhere")


def policy(tiles_from: int = 8, output: Output = "everywhere", statistics: Statistics = "fresh head") -> EditPolicy:
    """One that computes tiles even where the dense pass would take no longer: that is what is tested."""
    return EditPolicy(tiles_from, statistics, output, dense_from=math.inf)
