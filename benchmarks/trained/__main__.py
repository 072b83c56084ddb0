"""`python -m benchmarks.trained`."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.sentences import sentences
from benchmarks.trained.compare import Compared, Likeness, compare_all
from benchmarks.trained.sources import MODEL, PHOTOGRAPHS, photograph, pretrained
from sige_mlx.cli import options, terminal
from sige_mlx.cli.report import report
from sige_mlx.editing import save_image
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError

COLUMNS = (
    *("photograph, edit", "edit, in mask", "outside", "statistics, in mask", "outside", "tiles, in mask", "outside"),
    *("MACs", "time", "from to"),
)


def main(
    size: Annotated[int, typer.Option(help="Width and height of the photographs: a multiple of 4.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after one to warm up.")] = 5,
    threads: options.Threads = 0,
    seed: Annotated[int, typer.Option(help="Seed of the edits' shapes, places and colours.")] = 0,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also a report picture of every edit, in this folder.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare edits with dense passes where the weights are trained and the pictures photographs.

    The network is vintagify's CycleGAN generator, the photographs are scikit-image's (the extra `trained`). A blob of
    each is recoloured or painted over. Every norm of the network takes its statistics over the whole picture, a small
    edit keeps those of the original and a large one estimates its own: the hard case.

    PSNR in dB, in the mask and outside: of the edit to the dense pass on the edited photograph; of every pixel computed
    anew with the edit's statistics to that dense pass, which is what the statistics cost; and of the edit to that,
    which is what stopping at the active tiles costs. Then how many times less multiply-accumulates and time the edit
    takes, the median of rounds in which the two took turns, and its extremes.
    """
    with sentences("benchmarks.trained"):
        photographs = {name: photograph(name, size) for name in PHOTOGRAPHS}
        _make(pictures)
        with terminal.progress_bars({"compare": "comparing edits"}) as tell:
            found = list(compare_all(_engine(size, threads), photographs, rounds, seed, tell))
        for compared in found:
            if pictures:
                _write(compared, pictures)
    if as_json:
        terminal.print_json({"size": size, "rounds": rounds, "seed": seed, "edits": [_as_json(c) for c in found]})
    else:
        terminal.table(COLUMNS, [_row(compared) for compared in found])


def _engine(size: int, threads: int) -> Engine:
    return pretrained(size).engine("cpu", threads=threads)


def _make(folder: Path | None) -> None:
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SigeError(f"{folder} cannot be made a folder: {error}") from error


def _write(compared: Compared, folder: Path) -> None:
    """The report picture of an edit, named after photograph, kind and percent."""
    c = compared
    page = report(c.original, c.edited, c.result, c.dense, title=c.name, subtitle=f"{MODEL} · translation · cpu")
    save_image(page, folder / f"{c.photograph}-{c.kind}-{c.percent:g}.png")


def _row(c: Compared) -> tuple[str, ...]:
    decibels = [value for like in (c.incremental, c.statistics, c.tiles) for value in (like.inside, like.outside)]
    spread = f"{min(c.times):.1f} {max(c.times):.1f}"
    return (c.name, *map(_decibels, decibels), f"{c.macs:.1f}x", f"{c.faster:.1f}x", spread)


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _as_json(c: Compared) -> dict[str, Any]:
    """`psnr` in dB, null where the pictures are equal."""
    likenesses = {"edit": c.incremental, "statistics": c.statistics, "tiles": c.tiles}
    return {
        "photograph": c.photograph,
        "kind": c.kind,
        "percent": c.percent,
        "edited": c.result.edited,
        "psnr": {name: _likeness(like) for name, like in likenesses.items()},
        "macs": c.result.macs,
        "dense_macs": c.result.dense_macs,
        "times_faster": {"median": c.faster, "least": min(c.times), "most": max(c.times)},
    }


def _likeness(like: Likeness) -> dict[str, float | None]:
    values = {"inside": like.inside, "outside": like.outside}
    return {where: value if value is not None and math.isfinite(value) else None for where, value in values.items()}


if __name__ == "__main__":
    typer.run(main)
