"""How every verb ends: bad input, Ctrl-C and an output that takes no more are one sentence on stderr, never a
traceback."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from sige_mlx.cli import terminal
from sige_mlx.errors import SigeError

INTERRUPTED = 130  # what shells report for a process that SIGINT ended


class Verbs(TyperGroup):
    """The group of all verbs."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the options, and prints help where it is asked for."""
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Exit status 1 for bad input, when memory ran out or when what was to be printed could not be,
        130 when interrupted."""
        with _ending():
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except (SigeError, MemoryError) as error:
        _say(str(error) or "there is not enough memory")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _say("interrupted; nothing half-written is left")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # whoever reads it has seen enough, as `head` does
        _leave_stdout()
        raise typer.Exit(1) from None
    except OSError as error:
        _leave_stdout()
        where = error.filename or "standard output, which takes no more (files that were made are there)"
        _say(f"{where}: {error.strerror or error}")
        raise typer.Exit(1) from error


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        terminal.say(f"sige-mlx: {sentence}", err=True)


def _leave_stdout() -> None:
    """Lets what is left to print go nowhere, so that Python does not try again, and complain, as it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
