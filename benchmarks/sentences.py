"""How commands of benchmarks end that are given what they cannot take."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from sige_mlx.cli import terminal
from sige_mlx.errors import SigeError


@contextmanager
def sentences(command: str, *errors: type[Exception]) -> Iterator[None]:
    """Makes bad input in the block, a `SigeError` or one of these errors, one sentence on stderr and exit status 1."""
    expected: tuple[type[Exception], ...] = (SigeError, *errors)
    try:
        yield
    except expected as error:
        terminal.say(f"{command}: {error}", err=True)
        raise typer.Exit(1) from error
