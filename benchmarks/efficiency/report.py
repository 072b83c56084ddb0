"""What a run has found, in Markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.efficiency import paper
from benchmarks.efficiency.ablation import ALL, Row
from benchmarks.efficiency.cost import ByArea
from benchmarks.efficiency.measure import Agreement, OnDevice, Setting
from benchmarks.efficiency.results import Results
from sige_mlx.benchmark import EditFigures

DISTURBED = 0.85
"""Of the threads: with fewer processors than this, other programs were running."""


def markdown(setting: Setting, found: Sequence[Results], plots: Sequence[str] = ()) -> str:
    """The tables of every model."""
    return "\n".join(_lines(setting, found, plots)).rstrip() + "\n"


def _lines(s: Setting, found: Sequence[Results], plots: Sequence[str]) -> Iterator[str]:
    p = s.protocol
    threshold = "the model's own planes" if s.threshold is None else f"planes of {s.threshold} pixels"
    yield "# Efficiency"
    yield ""
    yield (
        f"Batch 1, {'random' if s.random else 'own'} weights, {p.repeats} x ({p.warmup} warm-up + {p.runs} timed) runs,"
        f" in turns; quality {s.quality!r}, tiles from {threshold} on. The size of an edit is the share of the pixels"
        " under its dilated mask. Before and after in the paper's cells; its times are for 1.2 %."
    )
    for results in found:
        yield from ("", f"## {results.model}", "")
        for on in results.devices:
            yield from _device(results.model, on)
        for alike in results.agreements:
            yield from _agreement(alike, results.devices)
        if results.ablation:
            yield from _ablation(results.ablation)
        if results.by_area:
            yield from _by_area(results.by_area)
        if results.by_size:
            rows = [
                (f"{h} x {w}", f"{of.percent:.2f} %", f"{of.edit_ms:.1f}", f"{of.dense_ms:.1f}")
                for of in results.by_size
                for h, w in [of.size]
            ]
            yield from table(("picture", "edit", "edit, ms", "dense, ms"), rows)
        yield from (f"{sentence}\n" for sentence in results.without)
    yield from (f"![{name}]({name})\n" for name in plots)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, and an empty line."""
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def _device(model: str, on: OnDevice) -> Iterator[str]:
    f = on.figures
    of = f"{f.device} ({f.simd}), {f.threads} threads" if f.simd else f.device
    yield f"{of}: dense pass {f.dense_ms:.1f} ms, {f.macs / 1e9:.1f} GMACs; recording {f.record_ms:.1f} ms."
    if f.device == "cpu" and f.cores < DISTURBED * f.threads:
        yield f"Other programs were running: {f.cores:.1f} processors. Measure again before you quote this."
    yield ""
    rows = [_edit(model, f.edits[-1] is e, e, peak) for e, peak in zip(f.edits, on.peaks, strict=True)]
    paper_s = ("GMACs", "RTX 3090, ms", "M1 Pro GPU, ms", "M1 Pro CPU, ms")
    columns = ("edit", "ms", "speed-up", "GMACs", "peak memory", *(f"paper's {name}" for name in paper_s))
    yield from table(columns, rows)


def _edit(model: str, drawn: bool, e: EditFigures, peak: tuple[int, int | None]) -> tuple[str, ...]:
    what = f"a stroke, {100 * e.edited:.1f} %" if drawn else f"{100 * e.edited:.1f} %"
    memory = " + ".join(f"{n / 2**30:.2f} GiB" for n in peak if n is not None)
    ours = (what, f"{e.edit_ms:.1f}", f"{e.speedup:.1f}x", f"{e.macs / 1e9:.1f}", memory)
    work, times = paper.work(model, e.percent), paper.times(model, e.percent)
    theirs = f"{work[1]:g} at {work[0]:g} %" if work and not drawn else ""
    if times is None or drawn:
        return (*ours, theirs, "", "", "")
    pairs = (times.rtx_3090, times.m1_gpu, times.m1_cpu)
    return (*ours, theirs, *(f"{a:g} -> {b:g} ({a / b:.1f}x)" for a, b in pairs))


def _agreement(alike: Agreement, devices: Sequence[OnDevice]) -> Iterator[str]:
    figures = {on.figures.device: on.figures for on in devices}
    one, other = (figures[device] for device in alike.devices)
    rows = [("dense", f"{one.dense_ms:.1f}", f"{other.dense_ms:.1f}", one.dense_ms / other.dense_ms, alike.dense)]
    for a, b, likeness in zip(one.edits, other.edits, alike.edits, strict=True):
        name = f"{'a stroke, ' if a is one.edits[-1] else ''}{100 * a.edited:.1f} %"
        rows.append((name, f"{a.edit_ms:.1f}", f"{b.edit_ms:.1f}", a.edit_ms / b.edit_ms, likeness))
    columns = ("", *(f"{device}, ms" for device in alike.devices), "ratio", "agreement")
    yield from table(columns, [(*row[:3], f"{row[3]:.2f}", decibels(row[4])) for row in rows])


def decibels(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f} dB"


def _ablation(rows: Sequence[Row]) -> Iterator[str]:
    whole = next(row for row in rows if row.name == ALL)
    cells = [
        (
            row.name + (" *" if row.own_process else ""),
            f"{row.ms:.1f}",
            f"{row.ms / whole.ms:.2f}",
            f"{row.macs / 1e9:.1f}",
        )
        for row in rows
    ]
    yield from table(("the edit with", "ms", "of that with all", "GMACs"), cells)
    yield "* in a process of its own, after the others: not of the same minutes.\n"


def _by_area(of: ByArea) -> Iterator[str]:
    yield (
        f"An edit takes {of.line.fixed:.2f} ms + {1e3 * of.line.slope:.2f} us x tiles of the largest plane"
        f" ({of.tiles[0]} to {of.tiles[-1]} were measured); choosing the tiles before {of.prepare_ms:.2f} ms at most."
    )
    yield ""
    if of.classes:
        parts = sorted(of.classes.items(), key=lambda item: -item[1].fixed)
        cells = [(name, f"{line.fixed:.2f}", f"{1e3 * line.slope:.2f}") for name, line in parts]
        yield from table(("ops", "fixed, ms", "us a tile"), cells)
