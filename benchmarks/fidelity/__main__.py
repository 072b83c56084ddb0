"""`python -m benchmarks.fidelity`."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.fidelity.frontier import Point, points
from benchmarks.fidelity.measure import Edit, measured
from benchmarks.fidelity.plot import draw
from benchmarks.fidelity.policies import policies
from benchmarks.fidelity.scenes import MODELS, pretrained, scenes
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

SIZES = (1.2, 5.0, 15.0, 40.0)
"""Edits in percent of the pixels that are painted."""

COLUMNS = ("edit", "policy", "PSNR", "least", "seam", "MACs", "time", "")


def main(
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="One of those with trained weights. Repeatable.")
    ] = None,
    percent: Annotated[
        list[float] | None,
        typer.Option(help="Share of the pixels that is painted. Repeatable.", show_default="1.2, 5, 15, 40"),
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Only policies with these words in their names. Repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Sampler steps of diffusion models.")] = 10,
    size: Annotated[int, typer.Option(help="Width and height of photographs: a multiple of 4.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after one to warm up.")] = 3,
    threads: options.Threads = 0,
    seed: Annotated[int, typer.Option(help="Seed of the edits' shapes, places and colours.")] = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as a picture, by matplotlib.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw the frontier of time against fidelity: what chooses how edits are computed by default.

    Every model with trained weights, without those whose package is not installed; edits of several kinds and sizes, of
    three originals; under the policies that users ask for by --quality, and others.

    For each, over the originals: the median PSNR in dB, in the mask, to the dense pass of the same edit, and the least;
    by how many grey levels the picture steps further at the mask's border; the multiply-accumulates and the time as
    parts of the dense pass's. A star marks policies that no other beats in as little time.
    """
    chosen, found, edits = model or list(MODELS), {}, {}
    with sentences("benchmarks.fidelity"):
        for name in chosen:
            try:
                edits[name] = _measured(name, percent or SIZES, policy or (), (steps, size, rounds, threads, seed))
            except SigeError as error:
                if model:
                    raise
                terminal.say(f"benchmarks.fidelity: without {name}: {error}", err=True)
                continue
            found[name] = points(edits[name])
        if plot:
            draw(found, plot)
    if as_json:
        settings = {"steps": steps, "size": size, "rounds": rounds, "seed": seed}
        terminal.print_json({**settings, "models": {name: _as_json(edits[name], found[name]) for name in found}})
        return
    for name, of in found.items():
        terminal.say(f"{name}\n")
        terminal.table(COLUMNS, [_row(point) for point in of])
        terminal.say()


def _measured(name: str, sizes: Sequence[float], words: Sequence[str], numbers: tuple[int, ...]) -> list[Edit]:
    steps, size, rounds, threads, seed = numbers
    of = pretrained(name, size)
    wanted = {label: how for label, how in policies(of).items() if not words or any(word in label for word in words)}
    if not wanted:
        raise SigeError(f"no policy of {name} is called so: choose of {', '.join(policies(of))}")
    engines = {label: of.engine("cpu", how, threads=threads) for label, how in wanted.items()}
    with terminal.progress_bars({"fidelity": f"edits with {name}"}) as tell:
        return list(measured(engines, [*scenes(name, size, steps)], sizes, rounds, seed, tell))


def _row(p: Point) -> tuple[str, ...]:
    figures = (_decibels(p.psnr), _decibels(p.least), f"{p.seam:+.1f}", f"{p.macs:.2f}", f"{p.time:.2f}")
    return (f"{p.kind}, {p.percent:g} %", p.policy, *figures, "*" if p.best else "")


def _decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "equal"


def _as_json(edits: Sequence[Edit], found: Sequence[Point]) -> dict[str, Any]:
    """`psnr` in dB, null where the pictures are equal."""
    return {"points": [_plain(point) for point in found], "edits": [_plain(edit) for edit in edits]}


def _plain(of: Point | Edit) -> dict[str, Any]:
    numbers = dataclasses.asdict(of)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}


if __name__ == "__main__":
    typer.run(main)
