"""`python -m benchmarks.session`."""

import os
from typing import Annotated, Any, Literal

import typer

from benchmarks.against.task import Task
from benchmarks.sentences import sentences
from benchmarks.session.measure import Session, measure
from sige_mlx.cli import options, terminal
from sige_mlx.engine.recordings import GIB

STAGES = {
    "likeness": "likeness",
    "record": "recording",
    "edit": "edits, commits, undoing",
    "disk": "the same on the disk",
}


def main(
    model: options.Model = "ddpm-church-256",
    weights: Annotated[Literal["random", "own"], typer.Option(help="Random weights, or the model's own.")] = "random",
    steps: Annotated[int, typer.Option(min=1, help="Passes of the network that an edit takes.")] = 20,
    sige: Annotated[
        str | None, typer.Option(metavar="CLONE", help="A clone of lmxyy/sige with its extension built: the peer.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="GIB", help="Memory for recordings.", show_default="a quarter of the machine's"),
    ] = None,
    edit: Annotated[float, typer.Option(metavar="PERCENT", help="Share of the pixels under the dilated mask.")] = 1.2,
    disk: Annotated[bool, typer.Option(help="Also under a budget of 1 GiB, read from the disk anew.")] = True,
    threshold: options.Threshold = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after one to warm up.")] = 3,
    threads: options.Threads = 0,
    seed: Annotated[int, typer.Option(help="Seed of weights, images and the edits' shapes.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Measure a session of a network that denoises: record, edit, commit, edit elsewhere and undo.

    The recording is kept as the budget asks for. An edited picture is compared with that of a recording in float32,
    in the mask, where white is 1 and black is -1; all passes read the painted picture, for random weights would carry
    any difference too far. Times are of the session's calls, from one to the next without a
    pause; where a user paints meanwhile a commit is settled in that time, which is told apart. The peer's own way is to
    record and edit at every step, by its network alone. Ratios are of the fastest rounds: quote those of a quiet
    machine only.
    """
    count = threads or os.cpu_count() or 1
    task = Task(str(model), weights == "own", edit, seed, count, sige, threshold)
    with sentences("benchmarks.session"), terminal.progress_bars(STAGES) as tell:
        found = measure(task, steps, rounds, None if budget is None else int(budget * GIB), disk, tell)
    if as_json:
        terminal.print_json(_as_json(found))
    else:
        _print(found)


def _print(s: Session) -> None:
    def gib(nbytes: int) -> str:
        return f"{nbytes / GIB:.2f} GiB"

    def ms(seconds: float) -> str:
        return f"{1e3 * seconds:.0f} ms"

    terminal.say(
        f"{s.model}, {s.steps} steps, edit of {s.edited:.2%}, tiles from planes of {s.threshold} on, {s.threads}"
        " threads, the fastest of each\n"
    )
    rows = [
        ("recording", f"{s.codec}, {gib(s.kept.memory)} in memory, {gib(s.kept.disk)} on the disk"),
        ("  resident", f"{gib(s.resident)}"),
        ("  took", f"{s.recording:.1f} s"),
        ("edit", f"{ms(s.fastest('edit'))}, {s.db:.1f} dB of that of a float32 recording"),
        ("commit", ms(s.fastest("commit"))),
        ("edit right after it", ms(s.fastest("next"))),
        ("edit + commit + edit", f"{s.cycle:.2f} edits"),
        ("settling the commit", f"{ms(s.fastest('settle'))} of idle time, keeps {gib(s.change)} to undo it"),
        ("edit after that", ms(s.fastest("later"))),
        ("edit + commit + edit", f"{s.settled:.2f} edits, and the idle time"),
        ("undo", f"{ms(s.fastest('undo'))}, {s.undo:.1%} of an edit"),
    ]
    if s.disk is not None and s.waiting is not None:
        rows += [
            ("under 1 GiB", f"{gib(s.disk.kept.memory)} in memory, {gib(s.disk.kept.disk)} on the disk"),
            ("  edit", f"{ms(min(s.disk.edits))}, {s.waiting:+.1%}"),
        ]
    if s.peer is not None:
        rows += [("the peer's own way", f"{ms(s.peer)}, {s.peer / s.fastest('edit'):.1f} times an edit")]
    terminal.pairs(rows)


def _as_json(s: Session) -> dict[str, Any]:
    return {
        "model": s.model,
        "steps": s.steps,
        "edited": s.edited,
        "threshold": s.threshold,
        "threads": s.threads,
        "codec": s.codec,
        "memory_bytes": s.kept.memory,
        "disk_bytes": s.kept.disk,
        "resident_bytes": s.resident,
        "recording_seconds": s.recording,
        "psnr_db": s.db,
        "seconds": s.calls,
        "cycle": s.cycle,
        "cycle_with_idle_time": s.settled,
        "undo": s.undo,
        "change_bytes": s.change,
        "under_1_gib": None
        if s.disk is None
        else {
            "memory_bytes": s.disk.kept.memory,
            "disk_bytes": s.disk.kept.disk,
            "edit_seconds": s.disk.edits,
            "waiting": s.waiting,
        },
        "peer_seconds": s.peer,
        "peer_over_edit": None if s.peer is None else s.peer / s.fastest("edit"),
    }


if __name__ == "__main__":
    typer.run(main)
