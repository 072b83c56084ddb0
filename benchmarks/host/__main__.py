"""`python -m benchmarks.host`: what an edit costs the host, and what the GPU's dense pass moves."""

from typing import Annotated

import numpy as np
import typer

from benchmarks.host.measure import Host, Milliseconds, measure
from benchmarks.host.traffic import Traffic, dense_traffic
from benchmarks.sentences import sentences
from sige_mlx.cli import options, terminal

MODELS = ("ddpm-church-256", "gan-compression-cityscapes")


def main(
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="A named model. Repeatable.")] = None,
    strokes: Annotated[int, typer.Option(min=2, help="Edits of random size and place, after the first.")] = 200,
    as_json: options.AsJson = False,
) -> None:
    """Time what Python and MLX do for edits, with random weights, on any machine: launches are counted, not run.

    A dense pass of the GPU is listed with the operations that MLX runs for it, and the bytes that go in and out.
    """
    models = model or MODELS
    with sentences("benchmarks.host"), terminal.progress_bars(dict.fromkeys(models, "strokes")) as tell:
        hosts = [measure(m, strokes, device, tell) for m in models for device in ("gpu", "cpu")]
        passes = [dense_traffic(m) for m in models]
    if as_json:
        terminal.print_json({"hosts": [_host(h) for h in hosts], "dense": [vars(t) for t in passes]})
    else:
        _print(hosts, passes)


def _spread(ms: Milliseconds) -> dict[str, float]:
    return {"median": float(np.median(ms)), "p99": float(np.percentile(ms, 99))}


def _host(h: Host) -> dict[str, object]:
    return {
        "model": h.model,
        "device": h.device,
        "first_ms": h.first_ms,
        "prepare_ms": _spread(h.prepare_ms),
        "bind_ms": _spread(h.bind_ms),
        "edit_ms": None if h.edit_ms is None else _spread(h.edit_ms),
        "total_ms": _spread(h.total_ms),
        "kernels": h.kernels,
        "kernels_later": h.kernels_later,
        "launches": h.launches,
        "us_a_launch": h.us_a_launch,
    }


def _print(hosts: list[Host], passes: list[Traffic]) -> None:
    def cell(ms: Milliseconds | None) -> str:
        return "" if ms is None else f"{np.median(ms):.2f} / {np.percentile(ms, 99):.2f}"

    terminal.say(f"Host time of a stroke in ms, median / 99th percentile of {len(hosts[0].prepare_ms)}")
    columns = ["", "first", "prepare", "of that bind", "edit", "all", "kernels", "later", "launches", "us each"]
    rows = []
    for h in hosts:
        counted = ("", "", "", "")
        if h.us_a_launch is not None:
            counted = (str(h.kernels), str(h.kernels_later), f"{h.launches:.0f}", f"{h.us_a_launch:.1f}")
        times = (cell(h.prepare_ms), cell(h.bind_ms), cell(h.edit_ms), cell(h.total_ms))
        rows.append((f"{h.model}, {h.device}", f"{h.first_ms:.0f}", *times, *counted))
    terminal.table(columns, rows)
    terminal.say("\nA dense pass on the GPU in float16: what MLX runs, and the bytes that go in and out of it")
    terminal.table(["", "operations", "GB"], [(t.model, str(t.operations), f"{t.nbytes / 1e9:.2f}") for t in passes])


if __name__ == "__main__":
    typer.run(main)
