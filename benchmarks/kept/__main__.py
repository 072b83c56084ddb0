"""`python -m benchmarks.kept`."""

from typing import Annotated

import numpy as np
import typer

from benchmarks.kept.row import row
from sige_mlx import zoo
from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError
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

    PSNR in dB, in the mask, of every edit to the dense edit of the same picture; then of one edit more after the
    recording that commits carried along was recorded anew, and of that edit in a session opened on the picture.
    """
    try:
        pretrained = zoo.load(zoo.DEFAULT)
        engine = pretrained.engine("cpu", pretrained.policy(threshold), threads=threads)
        picture = np.asarray(open_image(zoo.ASSETS / "demo" / "original.png").convert("RGB"))
        with terminal.progress_bars({"commit": "editing"}) as tell:
            found = row(engine, picture, count, percent, steps, seed, tell)
    except SigeError as error:
        terminal.say(f"benchmarks.kept: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        numbers = {"kept": found.kept, "median": found.median, "least": min(found.kept), "drift": found.drift}
        terminal.print_json({**numbers, "refreshed": found.refreshed, "fresh": found.fresh})
        return
    rows = [(f"edit {number}", f"{value:.1f}") for number, value in enumerate(found.kept, 1)]
    rows += [("median", f"{found.median:.1f}"), ("least", f"{min(found.kept):.1f}")]
    rows += [("last half above the first", f"{found.drift:+.1f}")]
    rows += [("recorded anew", f"{found.refreshed:.1f}"), ("a fresh session", f"{found.fresh:.1f}")]
    terminal.table(("", "PSNR, dB"), rows)


if __name__ == "__main__":
    typer.run(main)
