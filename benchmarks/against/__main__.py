"""`python -m benchmarks.against`."""

import os
from typing import Annotated, Any

import typer

from benchmarks.against.engines import ENGINES
from benchmarks.against.rounds import Comparison, Key, Spread, compare
from benchmarks.against.task import Task
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

STAGES = {"load": "loading the engines", "measure": "measuring"}


def main(
    model: options.Model = "ddpm-church-256",
    own_weights: Annotated[bool, typer.Option("--own-weights", help="The model's weights, not random ones.")] = False,
    peers: Annotated[
        str, typer.Option(metavar="LIST", help="Dense engines, of torch, onnxruntime and openvino.")
    ] = "torch",
    sige: Annotated[
        str | None, typer.Option(metavar="CLONE", help="A clone of lmxyy/sige with its extension built: the peer.")
    ] = None,
    edit: Annotated[float, typer.Option(metavar="PERCENT", help="Share of the pixels under the dilated mask.")] = 1.2,
    threshold: options.Threshold = None,
    sige_threshold: Annotated[
        int | None, typer.Option(min=1, help="That of SIGE alone.", show_default="as it was released")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after one to warm up.")] = 7,
    threads: options.Threads = 0,
    seed: Annotated[int, typer.Option(help="Seed of weights, images and the edit's shape.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Compare our dense pass and edit with other engines', in one run.

    All engines are given the same weights and images, and checked to compute the same. They take turns, call by call,
    each in a process of its own with the same number of threads; ratios are formed within a round, and their median
    and extremes over the rounds are printed, and the ratio of the fastest calls. Quote the medians of a quiet machine
    only: where they are far from the fastest, other programs ran. A dense peer counts with the better memory layout.
    """
    count = threads or os.cpu_count() or 1
    task = Task(str(model), own_weights, edit, seed, count, sige, threshold, sige_threshold)
    with sentences("benchmarks.against"), terminal.progress_bars(STAGES) as tell:
        comparison = compare(task, _engines(peers, sige), rounds, tell)
    if as_json:
        terminal.print_json(_as_json(comparison))
    else:
        _print(comparison)


def _engines(peers: str, sige: str | None) -> list[str]:
    names = [name.strip() for name in peers.split(",") if name.strip()]
    known = [name for name in ENGINES if name not in ("ours", "sige")]
    for name in names:
        if name not in known:
            raise SigeError(
                f"the peer {name!r} is not known: choose of {', '.join(known)}; SIGE is given by --sige CLONE"
            )
    return ["ours", *dict.fromkeys(names), *(["sige"] if sige else [])]


def _print(comparison: Comparison) -> None:
    task = comparison.task
    terminal.say(
        f"{task.model}, edit of {task.mask.mean():.2%}, tiles from planes of {task.policy.tiles_from}"
        f" on, {task.threads} threads, median of {comparison.rounds} rounds (least to most)\n"
    )
    terminal.table(
        ["", "ms", "from", "to"], [(_name(key), *(f"{v:.1f}" for v in _values(s))) for key, s in comparison.ms.items()]
    )
    terminal.say()
    terminal.table(
        ["", "times as long", "from", "to", "at the fastest"],
        [
            (f"{_name(r.theirs)} / {_name(r.ours)}", *(f"{v:.2f}x" for v in (*_values(r.times), r.fastest)))
            for r in comparison.ratios
        ],
    )


def _as_json(comparison: Comparison) -> dict[str, Any]:
    task = comparison.task
    return {
        "model": task.model,
        "threads": task.threads,
        "threshold": task.policy.tiles_from,
        "sige_threshold": task.sige_policy.tiles_from,
        "rounds": comparison.rounds,
        "edited": float(task.mask.mean()),
        "ms": {_name(key): _spread(s) for key, s in comparison.ms.items()},
        "ratios": {
            f"{_name(r.theirs)} / {_name(r.ours)}": {**_spread(r.times), "fastest": r.fastest}
            for r in comparison.ratios
        },
        "dense_difference": {_name(key): value for key, value in comparison.differences.items()},
    }


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def _values(spread: Spread) -> tuple[float, float, float]:
    return spread.median, spread.least, spread.most


def _spread(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "least": spread.least, "most": spread.most}


if __name__ == "__main__":
    typer.run(main)
