"""`python -m benchmarks.strokes`."""

from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.sentences import sentences
from benchmarks.strokes.browser import Stroke, strokes
from sige_mlx.cli import options, terminal

SCENES = {"sea": "blue-marble-128", "islands": "blue-marble-labels-256"}
"""Pictures of the gallery, by what they are edited with."""


def main(
    count: Annotated[int, typer.Option(min=2, help="Strokes on each picture.")] = 60,
    steps: Annotated[int, typer.Option(min=1, help="Sampler steps of a render of a picture.")] = 5,
    as_json: options.AsJson = False,
) -> None:
    """Measure how long after the pen lifts a stroke's result is to be seen, in Chromium, on the editor as it is.

    A mouse draws short strokes at random places of an embedded picture and of a label map; every one renders as it
    ends, and is undone. Times are from the pen's lifting to the result's pixels in the page's picture, and to the frame
    that has them, without the edit's own seconds: what the page, the way to the server and back, and the server add.
    What a frame adds is up to 17 ms of a screen's own at 60 Hz. Quote times of a quiet machine only.
    """
    with sentences("benchmarks.strokes"):
        found = {
            model: [*strokes(scene, count, {"steps": steps} if scene == "sea" else {})]
            for scene, model in SCENES.items()
        }
    if as_json:
        terminal.print_json({model: _numbers(of) for model, of in found.items()})
        return
    rows = []
    for model, of in found.items():
        for name, (median, late) in _numbers(of).items():
            rows.append((f"{model}: {name}", f"{median:.1f}", f"{late:.1f}"))
    terminal.table([f"ms, of {count} strokes", "median", "95th percentile"], rows)


def _numbers(found: list[Stroke]) -> dict[str, Any]:
    """Median and 95th percentile of what is told."""
    drawn, shown, server, engine = np.array(found).T
    told = {
        "the edit itself": engine,
        "added until the pixels are drawn": drawn - engine,
        "of it by the server": server - engine,
        "added until the frame is made": shown - engine,
    }
    return {name: [float(np.median(of)), float(np.percentile(of, 95))] for name, of in told.items()}


if __name__ == "__main__":
    typer.run(main)
