"""`python -m benchmarks.cores`: two threads beside one, and fast and slow cores in simulation."""

from typing import Annotated

import typer

from benchmarks.cores.measure import Measured, measure
from benchmarks.cores.model import in_equal_shares, share_all
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

MODELS = ("ddpm-church-256", "pd-church-256", "gaugan-cityscapes", "gan-compression-cityscapes")


def main(
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="A named model. Repeatable.")] = None,
    percent: Annotated[float, typer.Option(help="Size of the edit, in percent of the pixels.")] = 1.2,
    rounds: Annotated[int, typer.Option(min=1, help="Passes on one and on two threads, in turn.")] = 10,
    fast: Annotated[int, typer.Option(min=1, help="Fast cores of the simulated machine.")] = 8,
    slow: Annotated[int, typer.Option(min=0, help="Its slow cores.")] = 2,
    speed: Annotated[float, typer.Option(help="Speed of a slow core; 1 is a fast one's.")] = 0.3,
    as_json: options.AsJson = False,
) -> None:
    """Time passes with random weights on one and on two threads, and let fast and slow cores share the same ops.

    The simulated cores take chunks and panels as the threads of the engine do, of ops that take as long as they took
    one thread here. It knows of waiting, not of memory that cores share: two simulated cores beside two measured
    threads show what that is worth. A speed of 0.3 is about that of Apple's slow cores, by clock and FMAs per cycle.
    """
    models = model or MODELS
    with sentences("benchmarks.cores"), terminal.progress_bars(dict.fromkeys(models, "passes")) as tell:
        if not 0 < speed <= 1:
            raise SigeError(f"a slow core of speed {speed:g} is none: its speed is above 0 and at most 1")
        found = [row(m, fast, slow, speed) for name in models for m in measure(name, percent, rounds, tell)]
    if as_json:
        terminal.print_json({"fast": fast, "slow": slow, "speed": speed, "passes": found})
        return
    names = {"one_ms": "1 thread, ms", "two_ms": "2 threads, ms", "two": "measured", "two_simulated": "2 simulated"}
    names |= {"fast": f"{fast} fast", "all": f"{fast} + {slow}", "best": "at most", "waited": "waits, %"}
    names |= {"equal": "equal shares"}
    rows = [(f"{r['model']} {r['what']}", *(f"{r[key]:.2f}" for key in names)) for r in found]
    terminal.say("How many times as fast as one thread")
    terminal.table(["", *names.values()], rows)


def row(m: Measured, fast: int, slow: int, speed: float) -> dict[str, str | float]:
    """What is told of a pass: milliseconds, how many times as fast it becomes, and the percent of all cores' time in
    which they wait."""
    alone, cores = sum(op.seconds for op in m.ops), [1.0] * fast + [speed] * slow
    shared = share_all(m.ops, cores)
    return {
        "model": m.model,
        "what": m.what,
        "one_ms": 1e3 * m.one,
        "two_ms": 1e3 * m.two,
        "two": m.one / m.two,
        "two_simulated": alone / share_all(m.ops, [1.0, 1.0]).seconds,
        "fast": alone / share_all(m.ops, [1.0] * fast).seconds,
        "all": alone / shared.seconds,
        "best": sum(cores),
        "waited": 100 * shared.waited / (len(cores) * shared.seconds),
        "equal": alone / in_equal_shares(m.ops, cores),
    }


if __name__ == "__main__":
    typer.run(main)
