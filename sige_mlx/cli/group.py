"""How every verb ends: bad input and Ctrl-C are one sentence on stderr, never a traceback."""

from typing import Any

import typer
from typer.core import TyperGroup

from sige_mlx.errors import SigeError

INTERRUPTED = 130  # what shells report for a process that SIGINT ended


class Verbs(TyperGroup):
    """The group of all verbs."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Exit status 1 for bad input or when memory ran out, 130 when interrupted."""
        try:
            return super().invoke(ctx)
        except (SigeError, MemoryError) as error:
            typer.echo(f"sige-mlx: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.echo("sige-mlx: interrupted; nothing half-written is left", err=True)
            raise typer.Exit(INTERRUPTED) from None
