"""`python -m benchmarks.kept`."""

from collections.abc import Callable
from statistics import median
from typing import Annotated

import numpy as np
import typer

from benchmarks.kept.row import drift, row
from benchmarks.sentences import sentences
from sige_mlx import zoo
from sige_mlx.cli import options, terminal
from sige_mlx.pictures import open_image


def main(
    count: Annotated[int, typer.Option("--edits", min=2, help="Edits in a row.")] = 10,
    percent: Annotated[float, typer.Option(help="Share of the pixels that each paints over.")] = 5.0,
    steps: Annotated[int, typer.Option(min=1, help="Sampler steps.")] = 5,
    threshold: options.Threshold = None,
    threads: options.Threads = 0,
    seed: Annotated[int, typer.Option(help="Seed of the edits' shapes, places and colours.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Paint into a satellite picture again and again, commit every edit, and compare each with the dense pass.

    PSNR in dB, in the mask, of every edit to the dense edit of the same picture: without a pause between edits, and
    with pauses in which the session records anew. Then of one edit more, after the first session was recorded anew, and
    of that edit in a session opened on the picture.
    """
    with sentences("benchmarks.kept"):
        pretrained = zoo.load(zoo.DEFAULT)
        engine = pretrained.engine("cpu", pretrained.policy(threshold), threads=threads)
        picture = np.asarray(open_image(zoo.ASSETS / "demo" / "original.png").convert("RGB"))
        with terminal.progress_bars({"commit": "editing"}) as tell:
            found = row(engine, picture, count, percent, steps, seed, tell)
    if as_json:
        numbers = {"median": median(found.kept), "least": min(found.kept), "drift": drift(found.kept)}
        terminal.print_json({**vars(found), **numbers})
        return
    rows = {f"edit {number}": pair for number, pair in enumerate(zip(found.kept, found.idle, strict=True), 1)}
    of_both: dict[str, Callable[[list[float]], float]] = {"median": median, "least": min, "last half - first": drift}
    rows |= {name: (figure(found.kept), figure(found.idle)) for name, figure in of_both.items()}
    rows |= {"recorded anew": (found.refreshed,) * 2, "a fresh session": (found.fresh,) * 2}
    terminal.table(("PSNR, dB", "in a row", "with pauses"), [(n, f"{a:.1f}", f"{b:.1f}") for n, (a, b) in rows.items()])


if __name__ == "__main__":
    typer.run(main)
