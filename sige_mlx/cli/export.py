"""`sige-mlx export`: a model as programs of Core ML, for apps without Python."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sige_mlx.cli import options, terminal, tokens
from sige_mlx.errors import SigeError


def export(
    out: Annotated[Path, typer.Option(metavar="NAME.mlpackage", help="The package; for macos13 a folder of packages.")],
    model: options.Model = None,
    weights: options.OfWeights = options.Weights.own,
    format: Annotated[str, typer.Option(metavar="coreml", help="What to export to.")] = "coreml",
    functions: Annotated[
        str, typer.Option(metavar="LIST", help="What the package can do, of dense, record, edit and tiles.")
    ] = "dense,record,edit,tiles",
    buckets: Annotated[
        str, typer.Option(metavar="LIST", help="Edits are made for so many tiles; an app takes the smallest that fits.")
    ] = "32,96,288",
    precision: Annotated[str, typer.Option(metavar="float16|float32", help="What is computed in.")] = "float16",
    target: Annotated[
        str,
        typer.Option(
            metavar="macos13|macos15",
            help="macos15: one package of several functions, weights stored once; macos13: a folder of packages.",
        ),
    ] = "macos15",
    state: Annotated[
        bool, typer.Option("--state", help="Edits take the recording as states, which an app fills once; macos15.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option(help="What is translated or made is a picture; else arrays, from -1 to 1."),
    ] = True,
    numbers: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="An edit and its result, by which an app checks itself."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a package that is there already.")] = False,
    json: options.AsJson = False,
) -> None:
    """Write a model as Core ML programs, which an app runs without Python. Needs the extra `coreml`.

    The programs are converted and interpreted here, and not run on a Mac.

        sige-mlx export --model blue-marble-128 --out BlueMarble.mlpackage
    """
    from sige_mlx import zoo
    from sige_mlx.cli.coreml_numbers import check_numbers, write_numbers

    if format != "coreml":
        raise SigeError(f"format {format!r} is none that a model can be exported to: coreml would be right")
    if model in tokens.MODELS:
        raise SigeError(f"{model} edits by tokens, which no package for Core ML does: `sige-mlx models` lists others")
    load = zoo.random if weights is options.Weights.random else zoo.load
    network = load(model or zoo.DEFAULT)
    if numbers is not None:
        check_numbers(network)
    try:
        from sige_mlx.converters.coreml.package import export as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "coremltools":
            raise
        raise SigeError("export needs coremltools: pip install 'sige-mlx[coreml]'") from error
    start = time.perf_counter()
    made = run(
        network,
        out,
        kinds=[name.strip() for name in functions.split(",") if name.strip()],
        buckets=_numbers(buckets),
        precision=precision,
        target=target,
        state=state,
        pictures=pictures,
        force=force,
        progress=None if json else lambda name: terminal.say(f"converting {name} …", err=True),
    )
    seconds = time.perf_counter() - start
    if numbers is not None:
        write_numbers(network, made.path, numbers)
    if json:
        described: dict[str, Any] = {"path": str(made.path), "functions": list(made.functions), "bytes": made.nbytes}
        described["seconds"] = round(seconds, 1)
        terminal.print_json(described)
        return
    terminal.say(f"{made.path} is written: {', '.join(made.functions)}; {made.nbytes / 1e6:.1f} MB, in {seconds:.0f} s")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SigeError(f"--buckets {text}: numbers such as 32,96 would be right") from None
