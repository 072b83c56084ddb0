"""How every verb begins and ends: paths may start with `~`; bad input, Ctrl-C and a request to end are one sentence on
stderr, never a traceback."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sige_mlx.errors import SigeError

ENDED = 128
"""What shells add to the number of the signal that ended a process."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """One of the signals that ask a process to end, raised so that whatever is half-written is removed."""


class Verb(TyperCommand):
    """A verb, whose options may name files by `~/…` where the shell has left that to us, as in `--out=~/model`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            if isinstance(value, Path):
                ctx.params[name] = Path(os.path.expanduser(value))
        return rest


class Verbs(TyperGroup):
    """The group of all verbs."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Exit status 1 for bad input or when memory ran out, 128 + n where signal n ended it."""
        try:
            with _signals_raise():
                return super().invoke(ctx)
        except (SigeError, MemoryError) as error:
            typer.echo(f"sige-mlx: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.echo("sige-mlx: interrupted; nothing half-written is left", err=True)
            raise typer.Exit(ENDED + signal.SIGINT) from None
        except _Ended as ended:
            number = signal.Signals(ended.args[0])
            with suppress(OSError):  # the terminal may be gone
                typer.echo(f"sige-mlx: ended by {number.name}; nothing half-written is left", err=True)
            raise typer.Exit(ENDED + number) from None


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Lets signals that would end the process raise `_Ended` in the block; one that is ignored, as under `nohup`, still
    is, and so is a second one."""

    def end(number: int, _: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise _Ended(number)

    before: dict[signal.Signals, Any] = {}
    with suppress(ValueError):  # not the main thread: signals are others' business
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
