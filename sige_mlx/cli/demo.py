"""`sige-mlx demo`: an island is painted on open sea, and the model in the package renders it."""

from pathlib import Path
from typing import Annotated

import typer

from sige_mlx.cli import options, terminal


def demo(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the picture goes.")] = Path("demo.png"),
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    json: options.AsJson = False,
) -> None:
    """Paint an island on open sea and render it twice: only the tiles it touches, and everything.

    Writes one picture: the original, the painting, its mask and tiles, both results, their difference, and what each
    cost. The model and the satellite picture (NASA Blue Marble) are part of the package; nothing is downloaded.
    """
    import numpy as np

    from sige_mlx import zoo
    from sige_mlx.editing import EditSession, open_image, save_image
    from sige_mlx.editing.figures import as_json, figures, headline
    from sige_mlx.editing.images import check_destination
    from sige_mlx.editing.report import report

    check_destination(out)
    pictures = zoo.ASSETS / "demo"
    painted = open_image(pictures / "painted.png")
    engine = zoo.load(zoo.DEFAULT).engine(device, threads=threads)
    session = EditSession(engine, open_image(pictures / "original.png"), steps=steps, strength=strength, seed=seed)
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(painted, progress=tell)
        dense = session.dense(painted, progress=tell)
    settings = f"{zoo.DEFAULT} · {session.denoising}, seed {seed} · {device}"
    page = report(
        session.original, np.asarray(painted), result, dense, title="An island, painted on open sea", subtitle=settings
    )
    save_image(page, out)
    if json:
        terminal.print_json({"out": str(out), **as_json(result, dense)})
        return
    terminal.print_figures(figures(result, dense))
    typer.echo(f"\nThe same island with {headline(result, dense)}: see {out}")
