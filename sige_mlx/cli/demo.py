"""`sige-mlx demo`: an island is painted on open sea, or into a label map, and a model in the package renders it."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.cli.rendered import rendered_of
from sige_mlx.errors import SigeError


class _Scene(NamedTuple):
    """What a demo edits, with which model; files by the option of `edit` that would name them."""

    model: str
    files: dict[str, str]
    title: str
    out: str


def demo(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="[picture|labels]", help="Paint on a satellite picture, or into a label map.")
    ] = "picture",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the picture goes.",
            show_default="demo.png; demo-labels.png of labels; with a number where that is a file of yours",
        ),
    ] = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    json: options.AsJson = False,
) -> None:
    """Paint an island on open sea and render it twice: only the tiles it touches, and everything.

    Writes one picture: the original, the painting, its mask and tiles, both results, their difference, and what each
    cost. The models and the pictures (NASA Blue Marble) are part of the package; nothing is downloaded.

    By a diffusion model, on a picture; and by a label-to-image network, which makes the picture of a map that says
    what is sea, forest, desert …:

        sige-mlx demo
        sige-mlx demo labels
    """
    from sige_mlx import zoo
    from sige_mlx.cli.figures import as_json, figures, headline
    from sige_mlx.editing import save_image
    from sige_mlx.editing.destination import check_picture, own_or_new, signed
    from sige_mlx.editing.opening import load

    scene = _scene(what)
    stray = [name for name in options.OF_DIFFUSION if name in options.named(context)]
    if stray and what == "labels":
        raise SigeError(f"{options.spelled(stray[0])} is for pictures: the network of label maps runs once")
    out = out or own_or_new(Path(scene.out))
    check_picture(out)
    files = {name: zoo.ASSETS / "demo" / file for name, file in scene.files.items()}
    model = load(scene.model, device, threads=threads)
    if what == "labels":
        session = model.session(files["labels"])
    else:
        session = model.session(files["original"], steps=steps, strength=strength, seed=seed)
    rendered = rendered_of(session, model.pretrained, files, compare=True)
    result, dense = rendered.result, rendered.dense
    save_image(signed(rendered.page(scene.model, device, scene.title)), out)
    if json:
        terminal.print_json({"out": str(out), **as_json(result, dense)})
        return
    terminal.print_figures(figures(result, dense))
    terminal.say(f"\nThe same edit with {headline(result, dense)}: see {out}")
    terminal.say("To paint yourself: `sige-mlx app`, or `make app` in a checkout, opens the editor in a browser")


def _scene(what: str) -> _Scene:
    from sige_mlx import zoo

    if what == "picture":
        files = {"original": "original.png", "edited": "painted.png"}
        return _Scene(zoo.DEFAULT, files, "An island, painted on open sea", "demo.png")
    if what == "labels":
        files = {"labels": "labels.png", "edited_labels": "labels-painted.png"}
        return _Scene(zoo.LABELS, files, "An island and a lake, painted into a label map", "demo-labels.png")
    raise SigeError(f"there is no demo {what!r}: it is picture or labels")
