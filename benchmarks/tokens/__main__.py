"""`python -m benchmarks.tokens`."""

from typing import Annotated

import typer

from benchmarks.sentences import sentences
from benchmarks.tokens.count import LEAST, rows
from benchmarks.tokens.layers import timed
from sige_mlx.cli import options, terminal
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.plan import BITS, GB, TEXT_TOKENS, Plan, planes_of

PERCENTS = (1.0, 5.0, 15.0, 30.0)


def main(
    side: Annotated[list[int] | None, typer.Option(help="Pixels a side; repeatable.", show_default="512, 1024")] = None,
    percent: Annotated[
        list[float] | None, typer.Option(help="Shares of the picture; repeatable.", show_default="1, 5, 15, 30")
    ] = None,
    words: Annotated[int, typer.Option(min=1, max=TEXT_TOKENS, help="Tokens of a new prompt.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Passes of an edit.")] = 4,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also time a double and a single layer of klein's width: minutes.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of --layers.")] = 3,
    as_json: options.AsJson = False,
) -> None:
    """Count what edits with FLUX.2-klein-4B take: multiplications and bytes, against the dense run and against
    crop-and-stitch.

    Counted by shapes, as tests count them while they run; all that attention computes counts, also what it masks out.
    The prompt of an edit is the one that is recorded, or another with its padding left out. Crop-and-stitch renders a
    square around the edit, half as large again and no smaller than 512 pixels a side, densely in as many steps: it sees
    nothing else of the picture. Bytes are of keys and values, and the peak is what is planned. With --layers one pair
    of layers is timed on this machine: how much of the ratio of work becomes time.
    """
    with sentences("benchmarks.tokens"):
        sides = tuple(side or (512, 1024))
        found = rows(sides, tuple(percent or PERCENTS), words, steps)
        plans = [
            Plan(Flux2Sizes(), planes_of((s, s)), steps, bits, precision)
            for s in sides
            for bits in BITS
            for precision in ("bfloat16", "int8")
        ]
        pair = timed(min(sides), 5.0, rounds) if layers else None
    if as_json:
        memory = [{"what": str(p), "recording": p.recorded, "weights": p.weights, "peak": p.peak} for p in plans]
        told = {"edits": [row._asdict() for row in found], "memory": memory}
        terminal.print_json({**told, "layers": pair and {**pair._asdict(), "share_of_work": pair.share}})
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
    if pair:
        work, times = pair.dense_macs / pair.edit_macs, pair.dense / pair.edit
        terminal.say(
            f"\nA double and a single layer, {min(sides)}², 5 %: {pair.dense:.2f} s densely, {pair.edit:.3f} s the"
            f" edit, {times:.1f}x; {work:.1f}x less work: {pair.share:.2f} of it"
        )


if __name__ == "__main__":
    typer.run(main)
