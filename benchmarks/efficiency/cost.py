"""What an edit costs by its area, as a fixed part and so much for each tile; and by the size of the picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.efficiency.measure import Setting, figures_of
from sige_mlx import benchmark
from sige_mlx.benchmark.protocol import Progress, measure
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.errors import SigeError
from sige_mlx.graph.tiling import Size

AREAS = (0.3, 0.6, 1.2, 2.5, 4.0, 7.2, 11.0, 15.5, 20.0)
"""Percent of the pixels under the dilated masks of the edits that a line is fitted to."""

SCALES = (0.5, 1.0, 1.5, 2.0)
"""Sizes of pictures, in sides of the network's own."""

FIXED_EDIT = 1.2
"""Percent of the network's own image that an edit of pictures of all sizes has."""

OUTSIDE = "outside of ops"
"""What a pass takes besides the ops of its program: checking inputs, embeddings, Python."""


@dataclass(frozen=True)
class Line:
    """ms = fixed + slope x tiles."""

    fixed: float
    slope: float


@dataclass(frozen=True)
class ByArea:
    """Times of edits by their active tiles in the largest plane, the line through them, and on the CPU the same line
    for each class of ops: fixed parts and slopes of all classes add up to the line's."""

    tiles: tuple[int, ...]
    percents: tuple[float, ...]
    ms: tuple[float, ...]
    dense_ms: float
    prepare_ms: float
    line: Line
    classes: Mapping[str, Line]


@dataclass(frozen=True)
class AtSize:
    """An edit of as many pixels, and the dense pass, of a picture of this size."""

    size: Size
    percent: float
    edit_ms: float
    dense_ms: float


def line(tiles: Sequence[int], ms: Sequence[float]) -> Line:
    """The line of least squares. Raises `SigeError` where all edits have as many tiles."""
    if len(set(tiles)) < 2:
        raise SigeError("a line takes edits of two sizes or more: give sizes that differ by some tiles")
    slope, fixed = np.polyfit(np.asarray(tiles, np.float64), np.asarray(ms, np.float64), 1)
    return Line(float(fixed), float(slope))


def by_area(model: str, device: str, s: Setting, progress: Progress, areas: Sequence[float] = AREAS) -> ByArea:
    """Measures edits of every area. Raises `SigeError` where they are computed as the dense pass."""
    figures = figures_of(model, device, areas, s, progress, profiled=device == "cpu")
    tiles = tuple(next(iter(e.tiles.values()), (0, 0))[0] for e in figures.edits)
    ms = tuple(e.edit_ms for e in figures.edits)
    fitted = line(tiles, ms)
    classes: dict[str, Line] = {}
    profiles = [{row.name: row.ms for row in profile.by_kind} for profile in figures.profiles[1:]]
    if profiles:
        names = dict.fromkeys(name for of in profiles for name in of)
        classes = {name: line(tiles, [of.get(name, 0.0) for of in profiles]) for name in names}
        fixed, slope = (sum(getattr(of, part) for of in classes.values()) for part in ("fixed", "slope"))
        classes[OUTSIDE] = Line(fitted.fixed - fixed, fitted.slope - slope)
    prepare = max(e.prepare_ms for e in figures.edits)
    return ByArea(tiles, tuple(100 * e.edited for e in figures.edits), ms, figures.dense_ms, prepare, fitted, classes)


def by_size(model: str, device: str, s: Setting, progress: Progress, scales: Sequence[float] = SCALES) -> list[AtSize]:
    """Measures one edit in pictures of several sizes. Raises `SigeError` for a network that takes one size only."""
    own = engine_for(model, device, s.threads, s.random, s.threshold, s.quality)
    pixels = FIXED_EDIT / 100 * np.prod(own.image_size)
    step = own.lowered.granularity
    sizes = dict.fromkeys(
        tuple(max(1, round(scale * side / step)) * step for side in own.image_size) for scale in scales
    )
    found = []
    for done, (h, w) in enumerate(sizes):
        progress("sizes", done, len(sizes))
        engine = own.resized((h, w))
        work = workload(engine, s.seed)
        mask = benchmark.blob_mask((h, w), min(100.0, float(100 * pixels / (h * w))), engine.policy.dilation, s.seed)
        prepared, edited = engine.prepare(mask), work.edited(mask)
        mx.eval(engine.record_for(prepared, **work.original))
        dense = partial(_evaluated, engine, **edited)
        times = measure({"dense": dense, "edit": partial(_evaluated, engine.edit, prepared, **edited)}, s.protocol)
        found.append(AtSize((h, w), 100 * float(mask.mean()), times["edit"].ms, times["dense"].ms))
    progress("sizes", len(sizes), len(sizes))
    return found


def _evaluated(call: Callable[..., mx.array], *arguments: Any, **inputs: mx.array) -> None:
    mx.eval(call(*arguments, **inputs))
