"""What each of our means saves: an edit with all of them, and without one after another, as in the paper's ablation."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np

from benchmarks.efficiency.direct import library_without_winograd
from benchmarks.efficiency.measure import Setting
from benchmarks.efficiency.rewrites import epilogues_apart, tiles_copied
from sige_mlx import benchmark, families
from sige_mlx.benchmark import isolated
from sige_mlx.benchmark.protocol import Protocol, measure
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.engine.native.compiled import Compiled
from sige_mlx.engine.native.executor import NativeExecutor
from sige_mlx.errors import SigeError
from sige_mlx.graph.program import Program

DENSE, ALL, LOW, EPILOGUE, COPIES, BARE, DIRECT, BARE_DIRECT = (
    *("no tiles: the dense pass", "all", "without tiles of low resolutions", "without fused epilogues"),
    *("without no-copy tiles", "tiles alone, with Winograd", "without Winograd", "tiles alone"),
)

Rewrite = Callable[[Program], Program]


@dataclass(frozen=True)
class Row:
    """An edit with or without some of our means: its time, its multiply-accumulates, its largest distance from the
    edit with all, relative to the largest value, and whether it was measured in a process of its own."""

    name: str
    ms: float
    macs: int
    apart: float | None = None
    own_process: bool = False


def ablation(model: str, percent: float, s: Setting) -> list[Row]:
    """Measures an edit on the CPU. Rows of one process take turns; those without Winograd are of another process, with
    a library that is built without it, and come after. Raises `SigeError` where the edit runs no tiles."""
    rows = rows_of(model, percent, s)
    with tempfile.TemporaryDirectory() as folder:
        library = library_without_winograd(Path(folder))
        given = json.dumps([model, percent, asdict(s)])
        other = {r["name"]: Row(**r) for r in json.loads(isolated.run_module(MODULE, [given], environment(library)))}
    renamed = ((ALL, DIRECT), (BARE, BARE_DIRECT))
    return rows + [replace(other[name], name=title, apart=None, own_process=True) for name, title in renamed]


MODULE = "benchmarks.efficiency.ablation"


def environment(library: Path) -> dict[str, str]:
    """Has a process load that library."""
    return {"SIGE_CPU_LIBRARY": str(library)}


def rows_of(model: str, percent: float, s: Setting) -> list[Row]:
    """Measures an edit with the library of this process."""
    engine = engine_for(model, "cpu", s.threads, s.random, s.threshold, s.quality)
    released = families.of(engine.config).released(engine.config).tiles_from
    low = engine.under(replace(engine.policy, tiles_from=max(released, engine.policy.tiles_from)))
    work = workload(engine, s.seed)
    mask = benchmark.blob_mask(engine.image_size, percent, engine.policy.dilation, s.seed)
    if low.policy == engine.policy or low.plan(mask).dense:
        low = engine
    edited = work.edited(mask)
    wanted: list[tuple[str, Engine, Sequence[Rewrite]]] = [
        (ALL, engine, ()),
        (LOW, low, ()),
        (EPILOGUE, engine, (epilogues_apart,)),
        (COPIES, engine, (tiles_copied,)),
        (BARE, low, (tiles_copied, epilogues_apart)),
    ]
    if low is engine:
        wanted = [row for row in wanted if row[0] != LOW]
    calls: dict[str, Callable[[], mx.array]] = {DENSE: partial(engine, **edited)}
    macs = {DENSE: engine.macs}
    for of in {engine, low}:
        of.record(**work.original)
    for name, of, rewrites in wanted:
        prepared = rewritten(of, of.prepare(mask), rewrites)
        calls[name], macs[name] = partial(of.edit, prepared, **edited), prepared.macs
    outputs = {name: np.array(call()) for name, call in calls.items()}
    times = measure({name: partial(_evaluated, call) for name, call in calls.items()}, s.protocol)
    white = float(np.abs(outputs[ALL]).max())
    apart = {name: float(np.abs(out - outputs[ALL]).max()) / white for name, out in outputs.items()}
    return [Row(name, times[name].ms, macs[name], None if name in (DENSE, ALL) else apart[name]) for name in calls]


def rewritten(engine: Engine, prepared: PreparedEdit, rewrites: Sequence[Rewrite]) -> PreparedEdit:
    """The same edit by a rewritten program. Raises `SigeError` where it runs no tiles."""
    if prepared.bound is None:
        raise SigeError(
            "the edit is computed as the dense pass: there is nothing to leave out of it; give a smaller one"
        )
    assert isinstance(engine.executor, NativeExecutor)
    program = prepared.bound.compiled.program
    for rewrite in rewrites:
        program = rewrite(program)
    if not rewrites:
        return prepared
    return replace(
        prepared, bound=Compiled(program, engine.executor.pool, engine.executor.weights).bind(prepared.tiling)
    )


def _evaluated(call: Callable[[], mx.array]) -> None:
    mx.eval(call())


def main(arguments: str) -> None:
    """The process of its own."""
    model, percent, setting = json.loads(arguments)
    setting |= {"percents": tuple(setting["percents"]), "protocol": Protocol(**setting["protocol"])}
    print(json.dumps([asdict(row) for row in rows_of(model, percent, Setting(**setting))]))


if __name__ == "__main__":
    main(sys.argv[1])
