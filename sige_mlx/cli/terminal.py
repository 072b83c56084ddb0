"""What verbs print: results on stdout, progress on stderr, and JSON when asked, alone."""

import codecs
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sige_mlx.cli.plain_text import spelled
from sige_mlx.errors import printable

if TYPE_CHECKING:
    from sige_mlx.cli.figures import Figure
    from sige_mlx.editing.recording import Progress


def write_anywhere() -> None:
    """Has stdout and stderr spell in other characters what their encoding lacks: a terminal's, or parts of a file's
    name that are no text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            handler = f"sige_mlx.spelled.{stream.encoding}"
            codecs.register_error(handler, partial(_spelled, stream.encoding))
            stream.reconfigure(errors=handler)


def _spelled(encoding: str, error: UnicodeError) -> tuple[str, int]:
    """What to write for characters that an encoding lacks, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)

    def has(character: str) -> bool:
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return "".join(spelled(c, has) for c in error.object[error.start : error.end]), error.end


def say(line: str = "", err: bool = False) -> None:
    """A line on stdout, or on stderr, perhaps with empty ones around it; what a terminal would obey, as in names of
    files, is escaped. Unlike `typer.echo` it believes a stream that says it is ASCII."""
    text = line.strip("\n")
    before, after = line.partition(text)[::2] if text else ("", line)
    print(f"{before}{_shown(text)}{after}", file=sys.stderr if err else sys.stdout, flush=True)


def _shown(text: str) -> str:
    """All of a text, in one line and without what a terminal would obey."""
    return printable(text, len(text))


def notes(sentences: "Sequence[str]") -> None:
    """What a user should know besides the results, on stderr."""
    for sentence in sentences:
        say(f"sige-mlx: note: {sentence}", err=True)


def console() -> Console:
    """Standard output; as wide as need be where it is no terminal."""
    out = Console()
    return out if out.is_terminal else Console(width=200)


def print_json(value: Mapping[str, Any]) -> None:
    """A JSON object on stdout."""
    print(json.dumps(value, indent=1), flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, first column left, all others right."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        drawn.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(_shown(cell)) for cell in row))
    console().print(drawn)


def pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and what they are, on stdout."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_shown(cell)) for cell in row))
    console().print(drawn)


def print_figures(rows: "Sequence[Figure]") -> None:
    """The table of an edit."""
    from sige_mlx.cli.figures import HEAD

    table(["", *HEAD], [row[:4] for row in rows])


@contextmanager
def progress_bars(labels: Mapping[str, str]) -> "Iterator[Progress]":
    """A function (what, done, total) that draws a bar for each `what`, labelled from `labels`, on stderr if that is a
    terminal; the bars go away at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(labels[what], total=total)
            bars.update(tasks[what], completed=done)

        yield tell


STAGES = {
    "record": "recording the original",
    "edit": "recomputing the edit",
    "dense": "recomputing everything",
    "commit": "carrying the recording along",
    "undo": "carrying the recording back",
    "redo": "carrying the recording along",
}
"""Labels of what an `EditSession` reports."""
