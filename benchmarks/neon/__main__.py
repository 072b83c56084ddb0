"""`python -m benchmarks.neon`."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import typer

from benchmarks.neon import loops
from benchmarks.neon.emulated import Emulated, Network
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal


def main(as_json: options.AsJson = False) -> None:
    """Show what the NEON kernels do, on any machine: fused multiply-adds a cycle in the inner loops of the matrix
    products, by LLVM's model of a core with four vector pipes; and instructions and multiply-adds of a small network
    under qemu-user, whose pictures are compared with this machine's."""
    with sentences("benchmarks.neon"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("loops", "emulated"):
            (folder / part).mkdir()
        analysed = loops.loops(folder / "loops")
        emulated, network = Emulated(folder / "emulated"), Network.small()
        counts = emulated.counts(network)
        pairs = list(zip(emulated.outputs(network), network.here(), strict=True))
        errors = [float(np.abs(found - here).max() / np.abs(here).max()) for found, here in pairs]
    if as_json:
        terminal.print_json(
            {
                "core": loops.CORE,
                "loops": [dataclasses.asdict(loop) for loop in analysed],
                "passes": [
                    dataclasses.asdict(c) | {"largest_difference": error}
                    for c, error in zip(counts, errors, strict=True)
                ],
            }
        )
        return
    terminal.table(
        ["inner loop", "instructions", "FMAs", "of the stack", f"FMAs a cycle, of {loops.PIPES}"],
        [[o.kernel, str(o.instructions), str(o.fmas), str(o.stack), f"{o.fmas_per_cycle:.2f}"] for o in analysed],
    )
    terminal.say()
    columns = ["small DDPM", "MMACs left", "million instructions", "per MAC", "FMAs per MAC", "differs from here"]
    rows = [
        [
            c.what,
            f"{c.macs / 1e6:.1f}",
            f"{c.instructions / 1e6:.1f}",
            f"{c.instructions_per_mac:.3f}",
            f"{c.fmas_per_mac:.3f}",
            f"{error:.1e}",
        ]
        for c, error in zip(counts, errors, strict=True)
    ]
    terminal.table(columns, rows)


if __name__ == "__main__":
    typer.run(main)
