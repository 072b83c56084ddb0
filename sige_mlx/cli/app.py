"""`sige-mlx app`: the editor in a browser, served on this machine alone."""

from pathlib import Path
from typing import Annotated

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError
from sige_mlx.token_models import MODELS

GIB = 2**30


def app(
    picture: Annotated[
        Path | None,
        typer.Argument(metavar="PICTURE", help="What to open: PNG, JPEG, WebP or TIFF; or a label map."),
    ] = None,
    model: options.Model = None,
    device: options.Device = "cpu",
    port: Annotated[int, typer.Option(help="Where to listen.", show_default="one that is free")] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open the editor in the browser, whose command line others on this machine may see.",
        ),
    ] = True,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB",
            help="What recordings and all that can be undone may take together.",
            show_default="a quarter and a sixteenth of the machine's memory",
        ),
    ] = None,
) -> None:
    """Paint on a picture or into a label map in the browser, and see it rendered as the pen lifts.

    The page is served to this machine alone, and to whoever has the address that is printed, in which a secret stands
    behind the #. Nothing is fetched from anywhere, but the weights of a model that mflux runs, if it is named and they
    are not here. What is open stays with this command: the page may be closed and opened again, or twice. Ctrl-C ends
    it.

        sige-mlx app
        sige-mlx app photograph.jpg
        sige-mlx app -m blue-marble-labels-256 labels.png
        sige-mlx app -m flux2-klein-4b photograph.jpg
    """
    try:
        from sige_mlx.app.running import Running
    except ImportError as error:
        if error.name and error.name.partition(".")[0] in ("starlette", "uvicorn", "websockets"):
            raise SigeError("the editor needs the extra app: pip install 'sige-mlx[app]'") from error
        raise
    from sige_mlx import zoo
    from sige_mlx.app import opening
    from sige_mlx.app.by_tokens import check_installed
    from sige_mlx.arguments import real, whole
    from sige_mlx.engine import DEVICES

    whole(port, "--port", 0, 65535)
    if device not in DEVICES:
        raise SigeError(f"the device is {device!r}: it must be one of {', '.join(DEVICES)}")
    budget = None if memory is None else int(real(memory, "--memory", 0, 2**20, above=True) * GIB)
    own = None
    if model is not None:
        own = str(model)
        if own in MODELS:
            check_installed()
        else:
            zoo.load(own)  # says so where it is none, or its weights are not here
    catalogue = opening.Catalogue(own)
    first = opening.opened(picture, picture.name, catalogue.usual, device) if picture else None
    running = Running(catalogue, device, port, memory=budget)
    running.server.first = first
    terminal.say(f"The editor is at {running.address}")
    terminal.say("Ctrl-C ends it.")
    if browser:
        import webbrowser

        webbrowser.open(running.address)
    running.run()
