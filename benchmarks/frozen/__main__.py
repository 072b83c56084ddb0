"""`python -m benchmarks.frozen DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.openblas import preload_openblas


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds manifests/, cases/ and weights.py.")],
    device: Annotated[str, typer.Option(metavar="cpu|gpu|reference", help="What runs our networks.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")] = False,
) -> None:
    """Compare our outputs with those of the original PyTorch networks and of the peer's engine, frozen in a folder.

    A case passes when the dense outputs are within 1e-4 (RMS) of PyTorch's and the edit is no farther from the dense
    output on the edited image than 1.001 times the peer's edit, over the image and inside the mask. Exit status 1 if
    one does not pass or cannot be run, or if there is none; cases of networks that the project does not have are
    listed.

    The folder is trusted: its weights.py, which makes the weights, is executed.
    """
    preload_openblas()  # before anything imports MLX: the reference device would take minutes with MLX's own BLAS
    from benchmarks.frozen.report import as_json as in_json
    from benchmarks.frozen.report import print_table
    from benchmarks.frozen.run import run
    from benchmarks.sentences import sentences
    from sige_mlx.cli import terminal

    with sentences("benchmarks.frozen"):
        report = run(folder, device)
    if as_json:
        terminal.print_json(in_json(report))
    else:
        print_table(report)
    raise typer.Exit(0 if report.within_bounds else 1)


if __name__ == "__main__":
    typer.run(main)
