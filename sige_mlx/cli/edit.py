"""`sige-mlx edit`: a painted picture in, the re-rendered one out."""

from pathlib import Path
from typing import Annotated

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError


def edit(
    original: Annotated[Path, typer.Option(metavar="FILE", help="The picture before the edit.")],
    edited: Annotated[Path, typer.Option(metavar="FILE", help="The same picture, painted into.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the result goes; the extension says the format.")],
    model: options.Model = None,
    mask: options.MaskFile = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: options.Seed = 0,
    sampler: options.Sampler = None,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also one picture of the whole story: mask, tiles, figures.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also run it densely: adds true dense seconds and the difference.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Re-render what was painted into a picture, recomputing only the tiles it touches.

    Paint roughly, with flat colours, in any program; keep the picture's size, which must be the model's. Pixels that
    were not edited stay as they are, exactly. The original is recorded first, step by step, as slowly as a dense run;
    of the edit only the active tiles are computed.

    With the small model in the package, which knows satellite pictures of 128×128 pixels; and with another model, a
    mask drawn by hand and more freedom:

        sige-mlx edit --original sea.png --edited island.png --out new.png --report report.png
        sige-mlx edit -m ddpm-church-256 --original a.png --edited b.png --mask m.png --strength 0.6 --out c.png

    In half the steps, and by a network distilled to 8 steps, of which an edit takes 5:

        sige-mlx edit -m ddpm-church-256 --sampler dpm-solver --original a.png --edited b.png --out c.png
        sige-mlx edit -m pd-church-128 --original a.png --edited b.png --out c.png
    """
    from PIL import Image

    from sige_mlx import zoo
    from sige_mlx.editing import EditSession, open_image, save_image
    from sige_mlx.editing.figures import as_json, figures
    from sige_mlx.editing.images import check_destination, picture

    check_destination(out)
    if report:
        check_destination(report)
        if report.resolve() == out.resolve():
            raise SigeError(f"--out and --report are both {out}: they must be two files")
    pictures = [open_image(original), open_image(edited)]
    drawn = open_image(mask) if mask else None
    pretrained = zoo.load(zoo.DEFAULT if model is None else model)
    engine = pretrained.engine(device, threads=threads)
    session = EditSession(engine, pictures[0], steps=steps, strength=strength, seed=seed, sampler=sampler)
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(pictures[1], drawn, tell)
        dense = session.dense(pictures[1], drawn, tell) if compare else None
    if report:
        from sige_mlx.editing.report import report as draw

        name = Path(pretrained.name).name
        settings = f"{name} · {session.denoising}, seed {seed} · {device}"
        painted = picture(pictures[1], engine.plan.image_size)
        save_image(draw(session.original, painted, result, dense, title=out.name, subtitle=settings), report)
    save_image(Image.fromarray(result.image), out)
    if json:
        files = {"model": pretrained.name, "out": str(out), "report": str(report) if report else None}
        terminal.print_json({**files, **as_json(result, dense)})
        return
    terminal.print_figures(figures(result, dense))
    if not result.mask.any():
        typer.echo("Nothing was edited: the pictures do not differ, or the mask is black. The result is the original.")
    typer.echo(f"{out} is written" + (f", and {report}" if report else ""))
