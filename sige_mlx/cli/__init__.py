"""The command line, `sige-mlx VERB`: one file per verb. What is slow to import, only the verb that needs it imports."""

from typing import Annotated

import typer

from sige_mlx.cli import terminal
from sige_mlx.cli.app import app as editor
from sige_mlx.cli.bench import bench
from sige_mlx.cli.convert import convert
from sige_mlx.cli.demo import demo
from sige_mlx.cli.doctor import doctor
from sige_mlx.cli.edit import edit
from sige_mlx.cli.evaluate import evaluate
from sige_mlx.cli.export import export
from sige_mlx.cli.group import Verb, Verbs
from sige_mlx.cli.info import info
from sige_mlx.cli.models import models
from sige_mlx.cli.session import session

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (demo, editor, edit, session, convert, export, models, info, bench, evaluate, doctor):
    app.command(cls=Verb, no_args_is_help=verb in (edit, session, convert, export, evaluate))(verb)


@app.callback(invoke_without_command=True)
def sige_mlx(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Edit a picture and recompute only what the edit touched.

    Begin with the demo. Then paint into a picture of your own, in any program, and have it rendered:

        sige-mlx demo
        sige-mlx edit --original a.png --edited b.png --out c.png

    Every verb explains itself with --help.
    """
    if version:
        from importlib.metadata import version as installed

        terminal.say(installed("sige-mlx"))


def main() -> None:
    """The `sige-mlx` command."""
    terminal.write_anywhere()
    app(prog_name="sige-mlx")
