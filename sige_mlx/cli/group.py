"""How every verb begins and ends: paths may start with `~`; bad input, Ctrl-C, a request to end and an output that
takes no more are one sentence on stderr, never a traceback."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sige_mlx.cli import terminal
from sige_mlx.errors import SigeError, first_line

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

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the options, and prints help where it is asked for."""
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Exit status 1 for bad input, and when memory ran out, the GPU failed or what was to be printed
        could not be; 128 + n where signal n ended it."""
        with _ending(), _signals_raise(), _warnings_are_said():
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result


@contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except (SigeError, MemoryError) as error:
        _say(str(error) or "there is not enough memory")
        raise typer.Exit(1) from error
    except RuntimeError as error:
        if not str(error).startswith("["):  # as all that MLX says: [METAL], [malloc], [metal::Device]
            raise
        _say(f"MLX could not go on: {first_line(error)}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _say("interrupted; nothing half-written is left")
        raise typer.Exit(ENDED + signal.SIGINT) from None
    except _Ended as ended:
        number = signal.Signals(ended.args[0])
        _say(f"ended by {number.name}; nothing half-written is left")
        raise typer.Exit(ENDED + number) from None
    except BrokenPipeError:  # whoever reads it has seen enough, as `head` does
        _leave_stdout()
        raise typer.Exit(1) from None
    except OSError as error:
        _leave_stdout()
        where = error.filename or "standard output, which takes no more (files that were made are there)"
        _say(f"{where}: {error.strerror or error}")
        raise typer.Exit(1) from error


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


@contextmanager
def _warnings_are_said() -> Iterator[None]:
    """Says warnings as other sentences, each once: where in the code they are raised is nothing to a user."""
    said = set()

    def say(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            _say(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = say
        yield


def _say(sentence: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        terminal.say(f"sige-mlx: {sentence}", err=True)


def _leave_stdout() -> None:
    """Lets what is left to print go nowhere, so that Python does not try again, and complain, as it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
