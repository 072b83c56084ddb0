"""Policies under which tests run edits."""

from __future__ import annotations

import math

from sige_mlx.graph.policy import EditPolicy, Output

OUTPUTS: tuple[Output, ...] = ("tiles", "everywhere")


def policy(
    tiles_from: int = 8, output: Output = "everywhere", fresh_head: bool = True, dilation: int = 1
) -> EditPolicy:
    """One that computes tiles even where the dense pass would take no longer: that is what is tested."""
    return EditPolicy(tiles_from, "fresh head" if fresh_head else "recorded", output, dense_from=math.inf)
