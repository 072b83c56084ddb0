"""`python -m benchmarks.prediction`."""

from enum import Enum
from typing import Annotated

import typer

from benchmarks.prediction import cpu, predict, report
from benchmarks.sentences import sentences
from metal.sim import SimError
from sige_mlx import zoo
from sige_mlx.cli import options, terminal


class Device(str, Enum):
    gpu = "gpu"
    cpu = "cpu"


def main(
    model: options.Model = None,
    device: Annotated[Device, typer.Option(help="Which part of an M1 Pro.")] = Device.gpu,
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
    rounds: Annotated[int, typer.Option(help="CPU: runs of each pass on this machine; with 0 only bounds.")] = 5,
    as_json: options.AsJson = False,
) -> None:
    """Predict what an M1 Pro should take for a dense pass and edits, on any machine.

    Of the CPU these are the least times, by multiplications left and bytes moved, and what is expected: as far from the
    bound as on one thread of this machine, where each pass runs with random weights.

    Times of the GPU come from counters of the kernels on the model of Metal, which needs clang or the package ziglang;
    weights are neither read nor drawn. The first time kernels are compiled, which can take minutes.
    """
    if device is Device.cpu:
        with sentences("benchmarks.prediction"):
            of_cpu = cpu.predict(
                str(model or zoo.DEFAULT), edit or [1.2], threshold=threshold, seed=seed, rounds=rounds
            )
        if as_json:
            terminal.print_json(cpu.as_json(of_cpu))
        else:
            cpu.print_predicted(of_cpu)
        return
    bars = terminal.progress_bars({"compile": "compiling kernels"})
    with sentences("benchmarks.prediction", SimError), bars as tell:
        found = predict(str(model or zoo.DEFAULT), edit or [1.2], threshold=threshold, seed=seed, progress=tell)
    if as_json:
        terminal.print_json(report.as_json(found))
    else:
        report.print_predicted(found, layers)


if __name__ == "__main__":
    typer.run(main)
