"""`python -m benchmarks.tokens`."""

from functools import partial
from typing import Annotated

import typer

from benchmarks.openblas import preload_openblas
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal

PERCENTS = (1.0, 5.0, 15.0, 30.0)

TIMED = (5.0, 1.0)
"""Of these, those that --layers times."""


def main(
    side: Annotated[list[int] | None, typer.Option(help="Pixels a side; repeatable.", show_default="512, 1024")] = None,
    percent: Annotated[
        list[float] | None, typer.Option(help="Shares of the picture; repeatable.", show_default="1, 5, 15, 30")
    ] = None,
    words: Annotated[int, typer.Option(min=1, help="Tokens of a new prompt.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Passes of an edit.")] = 4,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also time a double and a single layer of klein's width: minutes.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0, help="About how long --layers is to take its times.")] = 120,
    run: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also run edits with this model, as on a Mac: flux2-klein-4b.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of its weights; by default as they are published.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Count what edits with FLUX.2-klein-4B take: multiplications and bytes, against the dense run and against
    crop-and-stitch.

    Counted by shapes, as tests count them while they run; all that attention computes counts, also what it masks out.
    The prompt of an edit is the one that is recorded, or another with its padding left out. Crop-and-stitch renders a
    square around the edit, half as large again and no smaller than 512 pixels a side, densely in as many steps: it sees
    nothing else of the picture. Bytes are of keys and values, and the peak is what is planned.

    With --layers one pair of layers is timed on this machine, in float32, for the largest side and edits of 5 and 1 %,
    or those that are asked for: how much of the ratio of work becomes time. The dense pass and the edits are run in
    turns. On Linux MLX computes with OpenBLAS then, where that is installed: its own BLAS would take an hour.

    With --run the model itself makes three edits of a picture of the largest side, densely, by tokens and by
    crop-and-stitch: seconds, likeness to the dense run in the mask, seams, and the most memory that MLX held.
    """
    if layers or run:
        preload_openblas()  # before anything imports MLX
    from benchmarks.tokens.count import LEAST, rows
    from sige_mlx.tokens.cost import Flux2Sizes
    from sige_mlx.tokens.plan import BITS, GB, Plan, planes_of

    with sentences("benchmarks.tokens"):
        sides = tuple(side or (512, 1024))
        found = rows(sides, tuple(percent or PERCENTS), words, steps)
        plans = [
            Plan(Flux2Sizes(), planes_of((s, s)), steps, bits, precision)
            for s in sides
            for bits in BITS
            for precision in ("bfloat16", "int8")
        ]
        pairs = []
        if layers:
            from benchmarks.tokens.layers import timed

            shares, tell = tuple(percent or TIMED), partial(terminal.say, err=True)
            pairs = timed(max(sides), shares, words, seconds, tell)
        edits = []
        if run:
            from benchmarks.tokens.run import ran

            edits = ran(run, max(sides), bits, partial(terminal.say, err=True))
    if as_json:
        memory = [{"what": str(p), "recording": p.recorded, "weights": p.weights, "peak": p.peak} for p in plans]
        told = {"edits": [row._asdict() for row in found], "memory": memory, "run": [of._asdict() for of in edits]}
        terminal.print_json({**told, "layers": [{**of._asdict(), "share_of_work": of.share} for of in pairs]})
        return
    head = ["picture", "edited", "tokens", "GMACs, prompt kept", f"new, {words} words", "crop-and-stitch", "dense"]
    less = [
        [
            f"{r.side}²",
            f"{r.percent:g} %",
            f"{r.tokens}",
            f"{r.kept:.0f} ({r.dense / r.kept:.1f}x less)",
            f"{r.new:.0f} ({r.dense / r.new:.1f}x)",
            f"{r.crop:.0f} ({r.dense / r.crop:.1f}x)",
            f"{r.dense:.0f}",
        ]
        for r in found
    ]
    terminal.table(head, less)
    terminal.say("\nBefore its first edit a picture is recorded, at the price of one dense run. Crops are no smaller")
    terminal.say(f"than {LEAST} pixels a side, and see nothing else of the picture.\n")
    terminal.table(
        ["", "GB of keys and values", "of weights", "peak, planned"],
        [[str(p), f"{p.recorded / GB:.2f}", f"{p.weights / GB:.2f}", f"{p.peak / GB:.1f}"] for p in plans],
    )
    if pairs:
        terminal.say(
            f"\nA double and a single layer, {max(sides)}², in seconds. Of a share of 1 the edit takes as many times"
        )
        terminal.say("less time as work:\n")
        head = ["edited", "text", "dense", "the edit", "times less", "work less", "share"]
        terminal.table(
            head,
            [
                [
                    f"{of.percent:g} %",
                    "kept" if of.text == 1 else f"{of.text} new",
                    f"{of.dense:.2f}",
                    f"{of.edit:.3f}",
                    f"{of.dense / of.edit:.1f}x",
                    f"{of.dense_macs / of.edit_macs:.1f}x",
                    f"{of.share:.2f}",
                ]
                for of in pairs
            ],
        )
    if edits:
        terminal.say(f"\n{run}, {max(sides)}² pixels; seams are steps at the mask's border, of 255 levels:\n")
        head = ["", "edited", "", "seconds", "SNR in the mask", "seam", "GB held"]
        terminal.table(
            head,
            [
                [
                    of.edit,
                    f"{of.edited:.1%}",
                    of.way,
                    f"{of.seconds:.3g}",
                    "" if of.snr is None else f"{of.snr:.1f} dB",
                    f"{of.seam:.1f}",
                    f"{of.peak / GB:.2f}",
                ]
                for of in edits
            ],
        )


if __name__ == "__main__":
    typer.run(main)
