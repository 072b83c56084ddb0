"""`python -m benchmarks.efficiency`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from benchmarks.efficiency import paper, plots
from benchmarks.efficiency.ablation import ablation
from benchmarks.efficiency.cost import by_area, by_size
from benchmarks.efficiency.edits import PERCENTS
from benchmarks.efficiency.measure import Setting, agreement, measured
from benchmarks.efficiency.report import markdown
from benchmarks.efficiency.results import Results, as_json
from benchmarks.sentences import sentences
from sige_mlx.benchmark import PAPER, QUICK
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.cli import options, terminal
from sige_mlx.editing.destination import save_text
from sige_mlx.errors import SigeError

PARTS = ("table", "ablation", "area", "size")

Found = TypeVar("Found")


def main(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A model's name, or its folder. Repeatable.", show_default="the paper's"),
    ] = None,
    edit: Annotated[
        list[float] | None,
        typer.Option(metavar="PERCENT", help="Size of an edit. Repeatable.", show_default="1.2, 7.2, 15.5"),
    ] = None,
    device: Annotated[str, typer.Option(metavar="cpu|gpu|cpu,gpu", help="One, or several to compare.")] = "cpu",
    parts: Annotated[str, typer.Option(metavar=",".join(PARTS), help="What to measure.")] = ",".join(PARTS),
    weights: Annotated[str, typer.Option(metavar="random|own", help="Random ones take as long.")] = "random",
    quality: Annotated[str, typer.Option(help="fast is as the paper's edits are computed.")] = "fast",
    threshold: options.Threshold = None,
    threads: options.Threads = 0,
    quick: Annotated[bool, typer.Option("--quick", help="3 timed runs of each instead of 5 times 10.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of edits, inputs and random weights.")] = 0,
    plot: Annotated[bool, typer.Option("--plots/--no-plots", help="Draw area.png and size.png, by matplotlib.")] = True,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets table.json, table.md and plots.")] = Path("efficiency"),
) -> None:
    """Reproduce the paper's tables of efficiency on this machine: models, sizes of edits, devices.

    "table": ms, speed-up over our dense pass, GMACs and peak memory, beside the paper's figures; with several devices
    also their times side by side and how alike their pictures are. "ablation": the smallest edit without one after
    another of what makes it fast, on the CPU. "area": edits of many sizes, and the line ms = fixed + slope x tiles.
    "size": one edit in pictures of several sizes. The last two are measured on the first device.
    """
    with sentences("benchmarks.efficiency"):
        devices, wanted = _names(device, "--device", ("cpu", "gpu", "reference")), _names(parts, "--parts", PARTS)
        if weights not in ("random", "own"):
            raise SigeError(f"--weights is {weights!r}: it is 'random' or 'own'")
        if plot and {"area", "size"} & {*wanted}:
            plots.check()
        percents = tuple(edit or PERCENTS)
        setting = Setting(percents, QUICK if quick else PAPER, threads, weights == "random", threshold, quality, seed)
        out.mkdir(parents=True, exist_ok=True)
        found: list[Results] = []
        with terminal.progress_bars({"measure": "measuring", "sizes": "pictures of several sizes"}) as tell:
            for name in model or paper.MODELS:
                found.append(_of_model(name, devices, wanted, setting, tell))
                save_text(as_json(setting, found), out / "table.json")  # what was measured outlives what comes after
        drawn = plots.draw(found, out) if plot else []
        text = markdown(setting, found, drawn)
        save_text(text, out / "table.md")
    for text_line in text.splitlines():
        terminal.say(text_line)


def _names(given: str, option: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a list with commas. Raises `SigeError` for others than are offered, and for a name twice."""
    names = tuple(name.strip() for name in given.split(","))
    for name in names:
        if name not in offered:
            raise SigeError(f"{option} has {name!r}: choose of {', '.join(offered)}")
    if len({*names}) < len(names):
        raise SigeError(f"{option} is {given!r}: each only once")
    return names


def _of_model(
    model: str, devices: tuple[str, ...], wanted: tuple[str, ...], setting: Setting, tell: Progress
) -> Results:
    """Measures what is wanted. What a model cannot have is told, and stops nothing else."""
    without: list[str] = []

    def part(name: str, measure: Callable[[], Found]) -> Found | None:
        if name not in wanted:
            return None
        try:
            return measure()
        except SigeError as error:
            without.append(f"Without {name!r}: {error}.")
            return None

    on = measured(model, devices, setting, tell) if "table" in wanted else ()
    pairs = [(devices[0], other) for other in devices[1:]] if on else []
    alike = tuple(agreement(model, pair, setting) for pair in pairs)
    rows = part("ablation", lambda: tuple(ablation(model, min(setting.percents), setting)))
    area = part("area", lambda: by_area(model, devices[0], setting, tell))
    sizes = part("size", lambda: tuple(by_size(model, devices[0], setting, tell)))
    return Results(model, on, alike, rows or (), area, sizes or (), tuple(without))


if __name__ == "__main__":
    typer.run(main)
