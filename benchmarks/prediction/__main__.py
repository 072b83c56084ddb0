"""`python -m benchmarks.prediction`."""

from typing import Annotated

import typer

from benchmarks.prediction import predict, report
from benchmarks.sentences import sentences
from metal.sim import SimError
from sige_mlx import zoo
from sige_mlx.cli import options, terminal


def main(
    model: options.Model = None,
    edit: Annotated[
        list[float] | None,
        typer.Option(
            metavar="PERCENT",
            help="Size of an edit: the share of the pixels under its mask, grown by a few pixels. Repeatable.",
            show_default="1.2",
        ),
    ] = None,
    threshold: options.Threshold = None,
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, not only kinds.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the edit's shape and place.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Predict what an M1 Pro's GPU should take for a dense pass and edits, on any machine.

    Times come from counters of the kernels on the model of Metal, which needs clang or the package ziglang; weights are
    neither read nor drawn. The first time kernels are compiled, which can take minutes.
    """
    bars = terminal.progress_bars({"compile": "compiling kernels"})
    with sentences("benchmarks.prediction", SimError), bars as tell:
        found = predict(str(model or zoo.DEFAULT), edit or [1.2], threshold=threshold, seed=seed, progress=tell)
    if as_json:
        terminal.print_json(report.as_json(found))
    else:
        report.print_predicted(found, layers)


if __name__ == "__main__":
    typer.run(main)
