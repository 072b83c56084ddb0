"""The cost of edits as pictures, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.efficiency.results import Results
from sige_mlx.errors import SigeError

AREA, SIZE = "area.png", "size.png"

CLASSES = 5
"""So many classes of ops have a part of their own in the stack of the fixed part; the others are one."""


APART = 0.05
"""Edits nearer than this, of the largest one's tiles, share a label."""


def check() -> None:
    """Raises `SigeError` without matplotlib."""
    _figure(1)


def draw(found: Sequence[Results], folder: Path) -> list[str]:
    """Writes a plot of time against area, and one of time against the picture's size, into a folder: a panel for each
    model that has the figures. Returns the names of the files. Raises `SigeError` where they cannot be written."""
    drawn = []
    with_area = [results for results in found if results.by_area]
    if with_area:
        profiled = any(results.by_area and results.by_area.classes for results in with_area)
        figure, panels = _figure(len(with_area), 1 + profiled)
        for results, (above, *below) in zip(with_area, panels.T, strict=True):
            _area(above, results)
            for panel in below:
                _fixed(panel, results)
        drawn.append(_save(figure, folder / AREA))
    with_size = [results for results in found if results.by_size]
    if with_size:
        figure, panels = _figure(len(with_size))
        for results, panel in zip(with_size, panels[0], strict=True):
            _size(panel, results)
        drawn.append(_save(figure, folder / SIZE))
    return drawn


def _figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SigeError("plots need matplotlib: pip install matplotlib, or leave them out by --no-plots") from None
    heights = [5, 2.2][:rows]
    figure = Figure(figsize=(6.5 * columns, sum(heights)), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, height_ratios=heights)


def _area(panel: Any, results: Results) -> None:
    of = results.by_area
    assert of
    panel.plot(of.tiles, of.ms, "o", label="edit, measured")
    x = np.array([0, max(of.tiles)])
    fitted = f"{of.line.fixed:.1f} ms + {1e3 * of.line.slope:.1f} µs x tiles"
    panel.plot(x, of.line.fixed + of.line.slope * x, "-", label=fitted)
    labelled = -np.inf
    for percent, tiles, ms in zip(of.percents, of.tiles, of.ms, strict=True):
        if tiles - labelled > APART * max(of.tiles):
            labelled = tiles
            panel.annotate(f"{percent:.1f} %", (tiles, ms), (4, -10), textcoords="offset points", fontsize="x-small")
    panel.margins(x=0.1)
    panel.set(title=results.model, xlabel="active tiles of the largest plane", ylabel="ms", ylim=(0, None))
    panel.set_title(f"dense pass {of.dense_ms:.0f} ms", loc="right", fontsize="small")
    panel.legend(loc="upper left")


def _fixed(panel: Any, results: Results) -> None:
    """The fixed part, class by class, as bars."""
    of = results.by_area
    assert of
    parts = sorted(((name, line.fixed) for name, line in of.classes.items()), key=lambda part: -abs(part[1]))
    first, rest = parts[:CLASSES], parts[CLASSES:]
    bars = [*first, *([("all other", sum(ms for _, ms in rest))] if rest else [])]
    panel.barh([name for name, _ in bars][::-1], [ms for _, ms in bars][::-1], color="C1")
    panel.set(xlabel="of the fixed part, ms")
    panel.tick_params(labelsize="small")


def _size(panel: Any, results: Results) -> None:
    sizes = results.by_size
    megapixels = [h * w / 1e6 for h, w in (of.size for of in sizes)]
    lines = {"dense pass": [of.dense_ms for of in sizes], "edit of as many pixels": [of.edit_ms for of in sizes]}
    for marker, (label, ms) in zip("so", lines.items(), strict=True):
        panel.plot(megapixels, ms, f"{marker}-", label=label)
        for at in zip(megapixels, ms, strict=True):
            panel.annotate(f"{at[1]:.3g}", at, (0, 6), textcoords="offset points", ha="center", fontsize="x-small")
    panel.set(title=results.model, xlabel="picture", ylabel="ms", xscale="log", yscale="log")
    panel.margins(y=0.15)
    panel.minorticks_off()
    panel.set_xticks(megapixels, [f"{h} x {w}" for h, w in (of.size for of in sizes)], fontsize="small")
    panel.legend()


def _save(figure: Any, path: Path) -> str:
    try:
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise SigeError(f"{path} cannot be written: {error}") from error
    return path.name
