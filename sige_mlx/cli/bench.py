"""`sige-mlx bench`: what dense passes and edits cost on this machine."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sige_mlx.cli import options, terminal

if TYPE_CHECKING:
    from sige_mlx.benchmark import Figures
    from sige_mlx.benchmark.profile import Profile, ProfileRow


DISTURBED = 0.85  # of the threads: alone on a machine, passes keep them 99 % busy


def bench(
    model: options.Model = None,
    weights: options.OfWeights = options.Weights.own,
    edit: Annotated[
        list[float] | None,
        typer.Option(
            metavar="PERCENT",
            help="Size of an edit: the share of the pixels under its mask, grown by a few pixels. Repeatable.",
            show_default="1.2",
        ),
    ] = None,
    quality: options.Quality = "balanced",
    threshold: options.Threshold = None,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="3 timed runs of each instead of 5 times 10; 1 warm-up run instead of 10.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the time goes, op by op and plane by plane.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the edit's shape and place, the inputs and random weights.")] = 0,
    json: options.AsJson = False,
) -> None:
    """Measure a dense pass and edits on this machine.

    The protocol is the paper's for CPUs: batch 1, 10 warm-up and 10 timed runs, five times, the mean. Dense passes and
    edits take turns, so that their ratio holds on a machine that drifts. What choosing the tiles costs is shown
    beside them. On a GPU edits are also timed after pauses, in which macOS may let go of the weights.

    The network of the paper, without its checkpoint, in about a minute; and where the time goes:

        sige-mlx bench -m ddpm-church-256 --weights random --edit 1.2 --edit 15 --quick
        sige-mlx bench -m ddpm-church-256 --weights random --quick --profile
    """
    from sige_mlx import benchmark, zoo

    with terminal.progress_bars({"measure": "measuring"}) as tell:
        figures = benchmark.run(
            str(model or zoo.DEFAULT),
            edit or [1.2],
            device=device,
            threads=threads,
            random=weights is options.Weights.random,
            threshold=threshold,
            quality=quality,
            protocol=benchmark.QUICK if quick else benchmark.PAPER,
            profiled=profile,
            seed=seed,
            progress=tell,
        )
    if json:
        terminal.print_json(_as_json(figures, weights))
    else:
        _print(figures, weights)


def _print(figures: "Figures", weights: options.Weights) -> None:
    from sige_mlx.benchmark.protocol import PAUSE

    h, w = figures.image_size
    where = f"{figures.device}{f' ({figures.simd})' if figures.simd else ''}, {figures.threads} threads"
    p = figures.protocol
    terminal.say(f"{figures.model}, {h} x {w}, {weights.value} weights, batch 1, {where}")
    terminal.say(f"{p.repeats} x ({p.warmup} warm-up + {p.runs} timed) runs\n")
    dense = figures.dense_ms
    rows = [
        ("dense", _ms(dense), "1.00x", _giga(figures.macs)),
        ("record", _ms(figures.record_ms), _times(dense, figures.record_ms), _giga(figures.macs)),
    ]
    for e in figures.edits:
        rows += [
            (f"edit of {e.edited:.2%}", _ms(e.edit_ms), f"{e.speedup:.2f}x", _giga(e.macs)),
            ("  choosing its tiles", _ms(e.prepare_ms), "", ""),
        ]
        if e.at_once_ms is not None and e.after_pause_ms is not None:
            rows += [
                ("  right after another", _ms(e.at_once_ms), _times(dense, e.at_once_ms), ""),
                (f"  after {PAUSE:g} seconds", _ms(e.after_pause_ms), _times(dense, e.after_pause_ms), ""),
            ]
    rows.append(("choosing tiles the first time", _ms(figures.first_prepare_ms), "", ""))
    rows.append(("empty edit", _ms(figures.empty_edit_ms), "", "0"))
    terminal.table(["", "ms", "against dense", "GMACs"], rows)
    if figures.cores < DISTURBED * figures.threads:
        terminal.say(
            f"\nOther programs were running: {figures.threads} threads had {figures.cores:.1f} processors."
            " Measure again on a quiet machine before you quote this."
        )
    for e in figures.edits:
        if e.dispatches is not None:
            terminal.say(f"\nKernels that the edit of {e.edited:.2%} launches: {e.dispatches}")
        tiles = ", ".join(f"{active} of {count} at {h} x {w}" for (h, w), (active, count) in e.tiles.items())
        terminal.say(f"\nTiles of the edit of {e.edited:.2%}: {tiles}")
    terminal.say(
        f"\nPeak memory of recording a step for one edit, and that edit: {figures.peak_nbytes / 2**30:.2f} GiB;"
        f" for all edits, in {figures.codec}, a step keeps {figures.recorded_nbytes / 2**20:.0f} MiB"
    )
    if figures.gpu_peak_nbytes is not None:
        terminal.say(f"Of the GPU's, what MLX had allocated at most: {figures.gpu_peak_nbytes / 2**30:.2f} GiB")
    for taken_apart in figures.profiles:
        _print_profile(taken_apart, figures.sgemm_gflops or 0.0)


def _print_profile(profile: "Profile", ceiling: float) -> None:
    spent = _ms(sum(row.ms for row in profile.by_kind))
    terminal.say(f"\n{profile.what}, where {spent} ms go; NumPy's matrix product reaches {ceiling:.0f} GFLOPS here")
    for title, rows in (("op", profile.by_kind), ("convolutions writing", profile.convolutions)):
        terminal.table(
            [title, "ops", "ms", "share", "GMACs", "GFLOPS", "of SGEMM"], [_profile_row(r, ceiling) for r in rows]
        )
        terminal.say()


def _profile_row(row: "ProfileRow", ceiling: float) -> tuple[str, ...]:
    rate = (f"{row.gflops:.0f}", f"{row.gflops / ceiling:.0%}") if row.macs else ("", "")
    return (row.name, f"{row.ops}", _ms(row.ms), f"{row.share:.1%}", _giga(row.macs), *rate)


def _as_json(figures: "Figures", weights: options.Weights) -> dict[str, Any]:
    """The figures field by field; planes are "HxW", tiles [active, all], the rates of a profile in GFLOPS."""
    numbers = dataclasses.asdict(figures)
    numbers["weights"] = weights.value
    for edit in numbers["edits"]:
        edit["tiles"] = {f"{h}x{w}": list(counts) for (h, w), counts in edit["tiles"].items()}
    for taken, profile in zip(numbers["profiles"], figures.profiles, strict=True):
        for key, rows in (("by_kind", profile.by_kind), ("convolutions", profile.convolutions)):
            for row, source in zip(taken[key], rows, strict=True):
                row["gflops"] = source.gflops
    return numbers


def _ms(ms: float) -> str:
    return f"{ms:.1f}" if ms >= 1 else f"{ms:.3f}"


def _giga(macs: int) -> str:
    return f"{macs / 1e9:.1f}" if macs else ""


def _times(whole: float, part: float) -> str:
    return f"{whole / part:.2f}x"
