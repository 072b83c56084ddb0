"""`python -m benchmarks.paper table1|table2|table3`."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.paper import datasets, needed
from benchmarks.paper.needed import Needed
from benchmarks.paper.tables import TABLES, Command, Table, csv_file
from benchmarks.sentences import sentences
from sige_mlx.cli import terminal
from sige_mlx.editing.destination import save_text
from sige_mlx.errors import SigeError


def main(
    table: Annotated[str, typer.Argument(metavar="|".join(TABLES), help="Quality, work and time, or memory.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Has the published edits, each set in a folder of its name.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Has published files of weights that are not converted yet.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go, and are looked for.")] = Path("paper"),
    run: Annotated[bool, typer.Option("--run", help="Run the commands for which everything is there.")] = False,
) -> None:
    """Reproduce a table of Li et al. 2022: what is missing, the commands, and its figures beside ours.

    Without --run the commands are printed alone. What they find stays in the folder of --out; a command that was ended
    goes on where it was.
    """
    with sentences("benchmarks.paper"):
        if table not in TABLES:
            raise SigeError(f"there is no {table!r}: it is {', '.join(TABLES)}")
        needed.check_folder(data, "--data")
        needed.check_folder(weights, "--weights")
        _reproduce(TABLES[table], data, weights, out, run)


def _reproduce(table: Table, data: Path | None, weights: Path | None, out: Path, run: bool) -> None:
    terminal.say(f"{table.title}. {table.protocol}")
    commands, missing = _commands(table, data, weights, out)
    if missing:
        terminal.say("\nMissing:")
        for thing in missing:
            terminal.say(f"  {thing.name}, from {thing.place}")
    terminal.say("\nCommands:")
    for command in commands:
        terminal.say(f"  {command}")
    if run:
        out.mkdir(parents=True, exist_ok=True)
        for command in commands:
            _run(command)
    terminal.say()
    terminal.table(("", *table.columns), [(row.title, *table.cells(row, out)) for row in table.rows])


def _commands(table: Table, data: Path | None, weights: Path | None, out: Path) -> tuple[list[Command], list[Needed]]:
    """What can be run, in order, and what keeps the rest from it. Files of edits that are there are told in CSV."""
    if not table.judges:
        return [table.command(row, out) for row in table.rows], []
    things = [*needed.of_models(table.rows, weights), *needed.of_measures(weights)]
    lacking = needed.of_data(table.rows, data)
    commands = [Command(("convert", str(thing.file))) for thing in things if thing.file]
    missing = [thing for thing in (*things, *lacking) if not thing.file]
    for row in table.rows:
        if any(thing.name.endswith(f"of {row.model}") for thing in missing):
            continue
        if datasets.missing(row.data, data):
            continue
        assert data
        if not csv_file(row, out).exists():
            datasets.write_table(row.data, data, csv_file(row, out))
        commands.append(table.command(row, out))
    return commands, missing


def _run(command: Command) -> None:
    """Raises `SigeError` where it fails; what it says is on the terminal."""
    terminal.say(f"\n{command}")
    arguments: Sequence[str] = [sys.executable, "-m", "sige_mlx", *command.arguments]
    done = subprocess.run(arguments, stdout=subprocess.PIPE if command.kept else None, text=True)
    if done.returncode:
        raise SigeError(f"`{command}` ended with status {done.returncode}")
    if command.kept:
        save_text(done.stdout, command.kept)


if __name__ == "__main__":
    typer.run(main)
