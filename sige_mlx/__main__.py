"""The command `sige-mlx`, and `python -m sige_mlx`. Ctrl-C ends it quietly from the first moment on, when it has not
imported what it will run."""

import os
import signal


def _interrupted(*_: object) -> None:
    os.write(2, b"sige-mlx: interrupted; nothing half-written is left\n")
    os._exit(130)


def main() -> None:
    """Runs the command line."""
    # An exception in the middle of an import may end in a module that catches it. Nothing is written yet that would
    # need one. A shell that runs the command in the background ignores the signal, and so it stays.
    handler = signal.getsignal(signal.SIGINT)
    waiting = handler is signal.default_int_handler
    if waiting:
        signal.signal(signal.SIGINT, _interrupted)
    from sige_mlx.cli import main as run

    if waiting:
        signal.signal(signal.SIGINT, handler)
    run()


if __name__ == "__main__":
    main()
