"""`python -m benchmarks.autoencoder`."""

from typing import Annotated

import typer

from benchmarks.openblas import preload_openblas


def main(
    side: Annotated[int, typer.Option(min=64, help="Pixels a side.")] = 256,
    percent: Annotated[float, typer.Option(min=0.1, max=100, help="Share of the picture that is edited.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 3,
    by_mlx: Annotated[bool, typer.Option("--mlx/--no-mlx", help="Also time MLX's own operations.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the halves of autoencoders with random weights: of a picture, by MLX's operations and as programs, and of
    the window of an edit. On Linux MLX has OpenBLAS, where the system has that."""
    blas = preload_openblas()  # before anything imports MLX
    from benchmarks.autoencoder.measure import rows
    from benchmarks.sentences import sentences
    from sige_mlx.cli import terminal

    with sentences("benchmarks.autoencoder"):
        found = list(rows(side, percent, rounds, by_mlx))
    if as_json:
        terminal.print_json({"blas": blas, "rows": [{**row._asdict(), "share_of_work": row.share} for row in found]})
        return
    head = [f"{side}²", "GMACs", f"of {percent:g} %", "MLX, s", "program, s", "window, s", "share of work"]
    terminal.table(
        head,
        [
            [
                row.network,
                f"{row.macs:.1f}",
                f"{row.window_macs:.1f} ({row.macs / row.window_macs:.1f}x less)",
                "" if row.mlx is None else f"{row.mlx:.2f} ({row.mlx / row.whole:.1f}x)",
                f"{row.whole:.3f}",
                f"{row.window:.3f} ({row.whole / row.window:.1f}x)",
                f"{row.share:.2f}",
            ]
            for row in found
        ],
    )


if __name__ == "__main__":
    typer.run(main)
