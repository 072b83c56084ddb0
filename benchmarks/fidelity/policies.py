"""The policies that are compared."""

import math
from dataclasses import replace

from sige_mlx.graph.policy import STATISTICS, EditPolicy, Statistics
from sige_mlx.zoo import Pretrained

SIDES = (64, 32, 8)
"""Of the smallest planes in tiles."""


OFFERED = ("fast", "balanced")
"""Qualities that compute tiles; "exact" edits are the dense pass itself."""


def policies(of: Pretrained) -> dict[str, EditPolicy]:
    """By name: those of the qualities, and tiles from planes of several sides on with all statistics that make a
    difference, however large the edit."""
    found = {quality: of.policy(quality=quality) for quality in OFFERED}
    base = replace(of.policy(quality="fast"), dense_from=math.inf)
    for side in SIDES if of.task != "translation" else (1,):
        for statistics in _statistics(of):
            name = f"from {side} on, {statistics}" if of.task == "denoising" else statistics
            name = f"from {side} on" if of.task == "labels" else name
            found[name] = replace(base, tiles_from=side, statistics=statistics)
    return found


def _statistics(of: Pretrained) -> list[Statistics]:
    """Networks of label maps normalise by what they have learnt; estimates are for networks that see a picture alone,
    as half of a noised one is another."""
    if of.task == "labels":
        return ["recorded"]
    without = {"denoising": ("estimated", "recorded"), "translation": ("fresh head",)}[of.task]
    return [statistics for statistics in STATISTICS if statistics not in without]
