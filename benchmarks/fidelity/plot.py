"""The frontiers as one picture, where matplotlib is installed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.fidelity.frontier import Point
from sige_mlx.errors import SigeError

TOP = 100.0
"""Decibels that stand for more."""


def draw(found: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Writes a panel for each model: time against PSNR in the mask, a colour for each policy, a size of marker for each
    size of edit, a shape for each kind. Raises `SigeError` without matplotlib, and where the file cannot be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SigeError("the plot needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(6 * len(found), 5), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, (model, points) in zip(axes, found.items(), strict=True):
        policies, kinds = (list(dict.fromkeys(of)) for of in ([p.policy for p in points], [p.kind for p in points]))
        for i, policy in enumerate(policies):
            for shape, kind in zip("osD^", kinds, strict=False):
                of = [p for p in points if (p.policy, p.kind) == (policy, kind)]
                heights = [min(p.psnr, TOP) if math.isfinite(p.psnr) else TOP for p in of]
                sizes = [12 + 4 * p.percent for p in of]
                label = f"{policy}, {kind}" if len(kinds) > 1 else policy
                times, colour = [p.time for p in of], f"C{i % 10}"
                panel.scatter(times, heights, s=sizes, c=colour, marker=shape, label=label, alpha=0.7)
        panel.set(title=model, xlabel="time, of the dense pass's", ylabel="PSNR in the mask, dB", xscale="log")
        panel.legend(fontsize="x-small")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise SigeError(f"{path} cannot be written: {error}") from error
