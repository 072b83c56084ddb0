"""What a policy comes to over all scenes, and which policies nothing beats."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.fidelity.measure import Edit

NEARLY = 1.02
"""Times of one run that are no further apart are alike."""


@dataclass(frozen=True)
class Point:
    """A policy on all edits of one kind and size: medians over the scenes, and the worst of them."""

    policy: str
    kind: str
    percent: float
    psnr: float
    least: float
    seam: float
    macs: float
    time: float
    best: bool = False
    """Whether no other policy has a higher PSNR in as little time."""


def points(edits: Iterable[Edit]) -> list[Point]:
    """The points of all policies, kinds and sizes, in the order in which they were measured."""
    groups: dict[tuple[str, float, str], list[Edit]] = {}
    for edit in edits:
        groups.setdefault((edit.kind, edit.percent, edit.policy), []).append(edit)
    found = [_point(of) for of in groups.values()]
    return [_marked(point, [p for p in found if (p.kind, p.percent) == (point.kind, point.percent)]) for point in found]


def _point(of: Sequence[Edit]) -> Point:
    decibels = [edit.psnr for edit in of]
    means = {name: median(getattr(edit, name) for edit in of) for name in ("seam", "macs", "time")}
    return Point(of[0].policy, of[0].kind, of[0].percent, median(decibels), min(decibels), **means)


def _marked(point: Point, rivals: Sequence[Point]) -> Point:
    faster = [p.psnr for p in rivals if p != point and p.time <= point.time * NEARLY]
    return Point(**{**vars(point), "best": point.psnr >= max(faster, default=-math.inf)})
