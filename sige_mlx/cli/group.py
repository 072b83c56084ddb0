"""How every verb ends: bad input and Ctrl-C are one sentence on stderr, never a traceback."""

from typing import Any

import typer
from typer.core import TyperGroup

from sige_mlx.errors import SigeError, first_line

INTERRUPTED = 130  # what shells report for a process that SIGINT ended


class Verbs(TyperGroup):
    """The group of all verbs."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Exit status 1 for bad input, when memory ran out or the GPU failed, 130 when interrupted."""
        try:
            return super().invoke(ctx)
        except (SigeError, MemoryError) as error:
            typer.echo(f"sige-mlx: {error}", err=True)
            raise typer.Exit(1) from error
        except RuntimeError as error:
            if not str(error).startswith("["):  # as all that MLX says: [METAL], [malloc], [metal::Device]
                raise
            typer.echo(f"sige-mlx: MLX could not go on: {first_line(error)}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.echo("sige-mlx: interrupted; nothing half-written is left", err=True)
            raise typer.Exit(INTERRUPTED) from None
